//! Where tensors live: `cpu`, or `wgpu[:n]` when built with that feature.
use crate::error::{Error, Result};
use burn::tensor::Device;

/// Devices that this build can use, as the command line names them.
pub fn available() -> Vec<&'static str> {
    if cfg!(feature = "wgpu") { vec!["cpu", "wgpu[:n]"] } else { vec!["cpu"] }
}

/// The device of a name.
///
/// # Errors
/// When the name is unknown, or names a kind that this build lacks.
pub fn parse(name: &str) -> Result<Device> {
    let (kind, index) = match name.split_once(':') {
        Some((kind, n)) => (kind, Some(n)),
        None => (name, None),
    };
    let index = index.map(|n| n.parse::<usize>().map_err(|_| unknown(name))).transpose()?;
    match (kind, index) {
        ("cpu", None) => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        ("wgpu", index) => Ok(Device::wgpu(match index {
            Some(n) => burn::tensor::DeviceKind::DiscreteGpu(n),
            None => burn::tensor::DeviceKind::DefaultDevice,
        })),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    let hint = if cfg!(feature = "wgpu") { "" } else { " (build with --features wgpu for GPUs)" };
    difftumor_ct::Error::Argument {
        what: "device".into(),
        expected: format!("one of {}{hint}", available().join(", ")),
        found: name.into(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(parse("cpu").is_ok());
        for bad in ["cuda", "cpu:1", "wgpu:x", ""] {
            assert!(parse(bad).unwrap_err().to_string().contains("cpu"), "{bad}");
        }
    }
}
