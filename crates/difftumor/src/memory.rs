//! Memory: how the program's allocator treats what is freed, in programs whose global allocator is mimalloc (in others this
//! does nothing), and how much the process has had.
use libmimalloc_sys::{mi_collect, mi_option_set};

/// `mi_option_purge_delay` of mimalloc.h (versions 2 and 3), which the bindings do not name.
const PURGE_DELAY: i32 = 15;

/// Keeps freed memory for the next buffers. For training: every layer takes and frees buffers of 100 MB, and when the
/// system clears their pages anew each time, an autoencoder's step takes a quarter longer. Call it before threads start.
pub fn keep_freed() {
    // SAFETY: `mi_option_set` stores a number; it is not thread safe, hence "before threads start".
    unsafe { mi_option_set(PURGE_DELAY, -1) }
}

/// Gives freed memory back to the system now. Between two stages that need much of it in other sizes: what the first
/// has freed would still count when the second reaches its peak.
pub fn give_back() {
    // SAFETY: `mi_collect` may be called from any thread at any time; it touches freed memory alone.
    unsafe { mi_collect(true) }
}

/// Largest memory that this process has had resident so far (`VmHWM` of Linux); `None` where the system does not tell.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}
