//! The switch: reads every node's packets and hands each to the node that it is for.
//!
//! One thread, asleep in `epoll` while nobody sends and nothing is in flight. The table of ports
//! and links (`table.rs`) is behind one lock that is taken once for each batch of packets, so a
//! change to a link takes effect between two packets. `forward.rs` is what happens to a packet,
//! `settings.rs` what is put in front of nodes, `queue.rs` holds the packets that arrive later; a
//! timer on the same `epoll` tells when.

mod forward;
mod queue;
mod settings;
mod table;

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use meshlab_model::NodeId;
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};

pub use settings::Mtu;
pub(crate) use table::{PortId, Table};

use crate::clock::{self, Nanos};

/// Packets read from one node before the next has its turn, and handed on at once when they are
/// due: a third of a millisecond, which is what a due packet may be late by.
const BATCH: usize = 64;
/// Larger than any packet of a device with this lab's MTU.
const PACKET_BYTES_MAX: usize = 64 * 1024;
/// Batches that are taken at once of a node that somebody waits for: more than its device holds,
/// and an end to it if it goes on sending.
const DRAIN_BATCHES: usize = 16;
/// The switch's priority, as of nice(1).
const NICE: libc::c_int = -15;
/// What epoll says when the switch is to stop, or packets are due; ports count from zero.
const STOP: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// The switch, from the outside.
pub(crate) struct Switch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    epoll: Epoll,
    stop: EventFd,
    timer: TimerFd,
    /// Whose turn it is to take the table. Without it, a switch with much to do would take the
    /// table again before anybody who waits for it had woken up.
    turn: Mutex<()>,
    table: Mutex<Table>,
    /// The thread's number in the system, for what it costs.
    thread: AtomicI32,
}

impl Switch {
    pub(crate) fn start(seed: u64) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        let shared = Arc::new(Shared {
            epoll,
            stop,
            timer,
            turn: Mutex::default(),
            table: Mutex::new(Table::new(seed)),
            thread: AtomicI32::new(0),
        });
        let inside = Arc::clone(&shared);
        let thread = thread::Builder::new().name("switch".into()).spawn(move || inside.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(crate) fn plug(
        &self,
        node: &NodeId,
        tun: OwnedFd,
        addresses: Vec<IpAddr>,
    ) -> io::Result<()> {
        self.shared.table().plug(node, tun, addresses, |tun, id| {
            Ok(self.shared.epoll.add(tun.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, id))?)
        })
    }

    pub(crate) fn unplug(&self, node: &NodeId) {
        self.shared.table().unplug(node, &self.shared.epoll);
    }

    /// What the switch knows. It forwards nothing while this is held.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.shared.table()
    }

    /// Changes what is set, between two packets. What is in flight may arrive earlier by it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Table, Nanos) -> T) -> T {
        let mut table = self.shared.table();
        let changed = change(&mut table, clock::now());
        self.shared.arm(&mut table, false);
        changed
    }

    /// Takes what a node has sent already, on the thread of the caller: its counts hold all of it.
    pub(crate) fn drain(&self, node: &NodeId) {
        let mut packet = vec![0_u8; PACKET_BYTES_MAX];
        for _ in 0..DRAIN_BATCHES {
            // One lock a batch, as the switch itself.
            let mut table = self.shared.table();
            let Ok(id) = table.port_id(node) else { return };
            let left = table.serve(id, &mut packet, &self.shared.epoll);
            self.shared.arm(&mut table, false);
            if !left {
                return;
            }
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The time that its thread has been on a CPU; `None` where the system does not tell.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        let thread = self.shared.thread.load(Ordering::Relaxed);
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // Adding one to a fresh counter does not block and does not fail.
        let _ = self.shared.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        // Counters and maps of a switch that broke are still worth reading.
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        drop(turn);
        table
    }

    fn run(&self) {
        // A packet that is due must not wait for the programs that are measured. Without the right
        // to it, on a host with more threads than cores, delays are less exact.
        // SAFETY: takes no pointers; in Linux, process 0 is this thread alone.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
        self.thread.store(nix::unistd::gettid().as_raw(), Ordering::Relaxed);
        let mut events = [EpollEvent::empty(); 64];
        let mut packet = vec![0_u8; PACKET_BYTES_MAX];
        loop {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                // The set belongs to this switch; without it there is nothing left to do.
                Err(_) => return,
            };
            for (left, event) in (0..ready).rev().zip(&events) {
                let timer = event.data() == TIMER;
                if event.data() == STOP {
                    return;
                }
                // One lock a batch: whoever changes a link waits for 128 packets at most.
                let mut table = self.table();
                table.fire(clock::now(), BATCH);
                if timer {
                    // It is heard by being set again.
                    self.arm(&mut table, true);
                } else if let Ok(id) = usize::try_from(event.data()) {
                    table.serve(id, &mut packet, &self.epoll);
                }
                if left == 0 {
                    self.arm(&mut table, false);
                }
            }
        }
    }

    /// Has the timer go off when the next packet is due, or never.
    fn arm(&self, table: &mut Table, went_off: bool) {
        let due = table.queue.next_due();
        if due == table.armed && !went_off {
            return;
        }
        table.armed = due;
        // A timer of this switch takes every time, also one that has passed: it goes off at once.
        let _ = match due {
            None => self.timer.unset(),
            Some(due) => {
                let at = TimeSpec::from_duration(Duration::from_nanos(due.max(1)));
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
        };
    }
}

impl Table {
    /// Takes a batch of packets from a port; whether there may be more. What is left is told by
    /// epoll again.
    fn serve(&mut self, id: PortId, buffer: &mut [u8], epoll: &Epoll) -> bool {
        let Some(tun) = self.ports.get(id).and_then(|port| port.tun.clone()) else { return false };
        for _ in 0..BATCH {
            match nix::unistd::read(tun.as_fd(), buffer) {
                Err(Errno::EINTR) => return true,
                Ok(0) | Err(Errno::EAGAIN) => return false,
                Ok(bytes) => {
                    if let Some(packet) = buffer.get_mut(..bytes) {
                        self.forward(id, packet, clock::now());
                    }
                }
                Err(_) => {
                    // The node has taken its own device away. Epoll would tell of it for ever.
                    self.close(id, epoll);
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
