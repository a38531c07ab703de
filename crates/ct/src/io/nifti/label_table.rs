//! Names of labels that a file carries in a header extension: Connectome Workbench's label table
//! (`<Label Key="5" …><![CDATA[liver]]></Label>`), which TotalSegmentator writes into its multi-label files.
use super::NiftiImage;
use std::collections::BTreeMap;

impl NiftiImage {
    /// The file's own names for label values; empty when it carries none. Entries that cannot be read are left out.
    pub fn label_names(&self) -> BTreeMap<u16, String> {
        let from = self.layout.version.header_bytes();
        let text = String::from_utf8_lossy(&self.bytes[from..self.vox_offset]);
        text.split("<Label ").skip(1).filter_map(entry).collect()
    }
}

/// One `Key="5" …><![CDATA[liver]]></Label>…`.
fn entry(text: &str) -> Option<(u16, String)> {
    let (attributes, rest) = text.split_once('>')?;
    let (_, key) = attributes.split_once("Key=\"")?;
    let (key, _) = key.split_once('"')?;
    let (content, _) = rest.split_once("</Label>")?;
    let name = content.trim().trim_start_matches("<![CDATA[").trim_end_matches("]]>").trim();
    (!name.is_empty()).then_some((key.parse().ok()?, name.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_broken_ones_left_out() {
        let text = r#"Key="5" Red="0.0"><![CDATA[liver]]></Label>"#;
        assert_eq!(entry(text), Some((5, "liver".into())));
        assert_eq!(entry(r#"Key="7">pancreas</Label>"#), Some((7, "pancreas".into())));
        assert_eq!(entry(r#"Key="x">pancreas</Label>"#), None);
        assert_eq!(entry(r#"Key="7">pancreas"#), None);
    }
}
