//! A NIfTI file out of gzip: no more of it is inflated than its header demands.
use super::read::{HEAD_BYTES, MAX_PADDING_BYTES, Parsed, TOO_LONG_HINT};
use super::{Problem, problem};
use crate::io::gzip::{damaged, read_up_to, require_possible, reserve};
use flate2::bufread::MultiGzDecoder;

/// Inflates a whole file, but no more of it than its header (read by `parse`) demands, and checks the checksum.
pub(super) fn inflate(
    compressed: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<Parsed, Problem>,
) -> Result<(Parsed, Vec<u8>), Problem> {
    let mut decoder = MultiGzDecoder::new(compressed);
    let mut bytes = Vec::new();
    read_up_to(&mut decoder, HEAD_BYTES, &mut bytes)
        .map_err(|e| damaged(&e, bytes.len(), "a NIfTI header".into()))?;
    let parsed = parse(&bytes)?;
    let total = parsed.total_bytes;
    require_possible(compressed.len(), total)?;
    let limit = total + MAX_PADDING_BYTES + 1;
    reserve(&mut bytes, limit)?;
    read_up_to(&mut decoder, limit, &mut bytes)
        .map_err(|e| damaged(&e, bytes.len(), format!("{total} bytes")))?;
    if bytes.len() < total {
        let hint = "the file is cut off or damaged; copy it again";
        return Err(problem("length", format!("{total} bytes"), format!("{} bytes", bytes.len()), hint));
    }
    if bytes.len() - total > MAX_PADDING_BYTES {
        let found = format!("{} bytes or more", bytes.len());
        return Err(problem("length", format!("{total} bytes"), found, TOO_LONG_HINT));
    }
    Ok((parsed, bytes))
}
