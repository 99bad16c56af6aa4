//! The memory of another process.

use std::{fs, process::Child};

use crate::Failure;

/// The most memory that a process has had at once so far, in bytes (`VmHWM` of Linux).
pub(crate) fn peak_memory(process: &Child) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes.ok_or("its memory is not told; has it ended?")?.parse()?;
    Ok(kibibytes << 10)
}
