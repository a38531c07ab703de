//! Any bytes at all: `checkpoint::read` answers with a checkpoint or an error, and so does loading each tensor.
#![no_main]
use difftumor::checkpoint;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// One file that every input is written to: the reader takes paths, and tensors are read from the file later on.
static FILE: LazyLock<tempfile::NamedTempFile> = LazyLock::new(|| tempfile::NamedTempFile::new().unwrap());

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(FILE.path(), bytes).unwrap();
    let Ok(checkpoint) = checkpoint::read(FILE.path()) else { return };
    for section in checkpoint.section_names() {
        for (name, tensor) in checkpoint.section(section) {
            // Views may repeat their storage up to 2^28 times: correct, but it would only fuzz the allocator.
            if tensor
                .shape
                .iter()
                .try_fold(1_usize, |n, &side| n.checked_mul(side))
                .is_some_and(|n| n < 1 << 16)
            {
                let _ = checkpoint.load_f32(&name, &tensor);
            }
        }
    }
});
