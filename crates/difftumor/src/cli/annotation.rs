//! `--organ` and `--tumor`: what labels of annotated cases hold.
use super::{BadArguments, argument, bad};
use difftumor::index::Annotation;
use difftumor_ct::label::OrganSpec;

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct AnnotationArguments {
    /// The organ with its tumors: liver=1:tumor=2, or its name where the label files name their values
    #[arg(long, value_name = "NAME[=VALUE:tumor=VALUE]")]
    pub organ: Option<String>,
    /// For labels that know no organ: a name for the tumor, and its values where a file has several
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub tumor: Option<String>,
}

impl AnnotationArguments {
    /// What they say.
    ///
    /// # Errors
    /// When they name no tumor.
    pub fn parse(&self) -> Result<Annotation, BadArguments> {
        match (&self.organ, &self.tumor) {
            (Some(text), _) => {
                let spec: OrganSpec = text.parse().map_err(bad)?;
                match &spec.roles {
                    Some(roles) if roles.tumor.is_empty() => {
                        let expected = format!("the tumors' value too, as in {spec}:tumor=2");
                        Err(argument("--organ", &expected, format!("'{text}'")))
                    }
                    _ => Ok(Annotation::Organ(spec)),
                }
            }
            (None, text) => {
                let text = text.as_deref().unwrap_or_default();
                tumor(text).map(Annotation::Tumor).ok_or_else(|| {
                    argument("--tumor", "NAME or NAME=VALUE, as in lesion=1+2", format!("'{text}'"))
                })
            }
        }
    }
}

/// Any name, with or without values.
fn tumor(text: &str) -> Option<OrganSpec> {
    if text.contains('=') {
        let spec: OrganSpec = text.parse().ok()?;
        let alone = spec.roles.as_ref().is_some_and(|r| r.tumor.is_empty() && r.cyst.is_empty());
        return alone.then_some(spec);
    }
    // A name without values need be none of TotalSegmentator's, so it is checked with a value that any name may have.
    let spec: OrganSpec = format!("{text}=1").parse().ok()?;
    Some(OrganSpec { roles: None, ..spec })
}
