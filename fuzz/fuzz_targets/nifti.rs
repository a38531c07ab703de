//! Any bytes as a NIfTI file: an image or an error, never a panic, and never more memory than the bytes justify.
#![no_main]

use difftumor_ct::io::nifti::NiftiImage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(image) = NiftiImage::from_bytes(bytes.to_vec(), "fuzz.nii") else { return };
    image.label_names();
    if let Ok(labels) = image.to_labels() {
        assert_eq!(image.with_labels(&labels).to_labels().expect("written labels are read"), labels);
    }
    if let Ok(volume) = image.to_volume() {
        assert_eq!(image.with_changes(&volume, &volume), image);
    }
});
