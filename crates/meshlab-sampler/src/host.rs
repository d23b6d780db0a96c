//! The machine, for the manifest.

use meshlab_model::HostFacts;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// What this machine is. Reads memory, processors and load; never the process table, which costs
/// as much as there are processes on the host.
pub fn host_facts() -> HostFacts {
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted).ok();
    let cpus = system.as_ref().map(System::cpus).unwrap_or_default();
    let load = System::load_average().map_or(0.0, |load| load.one);
    HostFacts {
        os: System::long_os_version().unwrap_or_else(|_| "unknown".to_owned()),
        kernel: System::kernel_version().unwrap_or_else(|_| "unknown".to_owned()),
        cpu: cpus.first().map_or("unknown", |cpu| cpu.brand().trim()).to_owned(),
        cores: u32::try_from(cpus.len()).unwrap_or(u32::MAX),
        memory_bytes: system.as_ref().map_or(0, System::total_memory),
        load_hundredths: (load * 100.0).round().max(0.0) as u32,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_host_has_cores_and_memory() {
        let facts = super::host_facts();
        assert!(facts.cores > 0 && facts.memory_bytes > 1 << 20, "{facts:?}");
    }
}
