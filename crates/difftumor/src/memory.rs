//! How the program's allocator treats what is freed.
use libmimalloc_sys::mi_option_set;
use std::sync::Once;

/// `mi_option_purge_delay` of mimalloc.h (versions 2 and 3), which the bindings do not name.
const PURGE_DELAY: i32 = 15;

/// Keeps freed memory for the next buffers instead of giving it back to the system, in programs whose global allocator
/// is mimalloc (in others it does nothing). Every layer takes and frees buffers of 100 MB; when the system clears their
/// pages anew each time, an autoencoder's training step takes a quarter longer. For training alone: one tumor needs
/// 50 MB more with it and gains nothing. Call it before threads start.
pub fn keep_freed() {
    static ONCE: Once = Once::new();
    // SAFETY: `mi_option_set` stores a number; it is not thread safe, and this runs once.
    ONCE.call_once(|| unsafe { mi_option_set(PURGE_DELAY, -1) });
}
