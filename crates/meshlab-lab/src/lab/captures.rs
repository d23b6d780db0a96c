//! Captures of what crosses the switch, as pcapng files.

use std::{io, path::Path, sync::Arc};

use super::Lab;
use crate::{
    capture::{self, Capture, CaptureFilter, CaptureReport, RecentSettings},
    error::LabError,
};

impl Lab {
    /// Writes packets to a file from now on, until the handle is finished or dropped. A thread of
    /// its own writes; the switch never waits for it, and what it does not get to is counted.
    ///
    /// # Errors
    /// The file or the thread cannot be made.
    pub fn capture(&self, path: &Path, filter: CaptureFilter) -> Result<Capture, LabError> {
        let file = capture::create(path).map_err(LabError::Capture)?;
        self.capture_to(Box::new(file), filter)
    }

    /// The same, to any writer.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub fn capture_to(
        &self,
        out: Box<dyn io::Write + Send>,
        filter: CaptureFilter,
    ) -> Result<Capture, LabError> {
        // The handle may outlive the lab, and must not keep its devices open.
        let shared = Arc::downgrade(self.switch.shared());
        let detach = move |number| {
            if let Some(shared) = shared.upgrade() {
                shared.table().tap.detach(number);
            }
        };
        let (capture, sink) = Capture::start(out, filter, detach).map_err(LabError::Capture)?;
        self.switch.table().tap.attach(sink);
        Ok(capture)
    }

    /// Keeps the last packets in memory from now on, to be dumped when something went wrong;
    /// `None` forgets them and keeps no more, as it is at the start.
    ///
    /// # Errors
    /// Nothing would be kept, or more than 4 GiB.
    pub fn keep_recent(&self, settings: Option<RecentSettings>) -> Result<(), LabError> {
        if let Some(settings) = &settings {
            let on = || "what is kept of packets".to_owned();
            super::links::valid(on, settings.check())?;
        }
        self.switch.table().tap.set_ring(settings);
        Ok(())
    }

    /// Writes the last packets to a file. They stay in memory too.
    ///
    /// # Errors
    /// None are kept, or the file cannot be written.
    pub fn dump_recent(&self, path: &Path) -> Result<CaptureReport, LabError> {
        let file = capture::create(path).map_err(LabError::Capture)?;
        self.dump_recent_to(file)
    }

    /// The same, to any writer.
    ///
    /// # Errors
    /// None are kept, or they cannot be written.
    pub fn dump_recent_to(&self, out: impl io::Write) -> Result<CaptureReport, LabError> {
        let records = self.switch.table().tap.recent().ok_or(LabError::NothingKept)?;
        capture::write_records(out, &records).map_err(LabError::Capture)
    }
}
