//! The stores themselves: the connection to each, and calls that wait for its answer.
//!
//! `object_store` is asynchronous; a small runtime of our own runs it, and any thread may wait.
use super::{Entry, SCHEMES};
use crate::error::{Error, Result};
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, RetryConfig};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A store that does not answer is given up after this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key of a store.
pub(super) struct Place {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) key: Key,
    /// As it was given.
    pub(super) path: PathBuf,
}

/// An object below a key.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) key: Key,
    /// The rest of its key, with `/` between names.
    pub(super) name: String,
}

impl Place {
    /// # Errors
    /// When it names no bucket, has an odd name in it, or the environment's settings are impossible.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let text = path.to_str().unwrap_or_default().replace('\\', "/");
        let bad = |found: String| {
            let expected = "SCHEME://BUCKET/KEY, each part of the key a name";
            Error::format(
                path,
                "address of an object",
                expected,
                found,
                "write it as s3://bucket/folder/file.nii.gz",
            )
        };
        let scheme = SCHEMES.into_iter().find(|scheme| text.starts_with(scheme));
        let Some((scheme, rest)) = scheme.map(|s| (s, &text[s.len()..])) else {
            return Err(bad("another scheme".into()));
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(bad("no bucket".into()));
        }
        let key = key.trim_end_matches('/');
        if let Some(odd) = key.split('/').find(|part| matches!(*part, "." | ".." | "") && !key.is_empty()) {
            let odd = if odd.is_empty() { "an empty one".into() } else { format!("'{odd}'") };
            return Err(bad(odd));
        }
        let key = Key::parse(key).map_err(|e| bad(e.to_string()))?;
        Ok(Self { store: connect(scheme, bucket, path)?, key, path: path.into() })
    }

    /// The last name of its key; of a whole bucket, the bucket's.
    pub(super) fn name(&self) -> String {
        let bucket = || self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.key.filename().map_or_else(bucket, String::from)
    }

    pub(super) fn error(&self, action: &'static str) -> impl FnOnce(object_store::Error) -> Error {
        error(&self.path, action)
    }
}

/// Stores by scheme and bucket: connections are kept.
type Stores = HashMap<String, Arc<dyn ObjectStore>>;

fn connect(scheme: &str, bucket: &str, path: &Path) -> Result<Arc<dyn ObjectStore>> {
    static STORES: LazyLock<Mutex<Stores>> = LazyLock::new(Mutex::default);
    let url = format!("{scheme}{bucket}");
    let mut stores = STORES.lock().expect("no panic while held");
    if let Some(store) = stores.get(&url) {
        return Ok(store.clone());
    }
    // One implementation of TLS for the whole program; a second call finds the first one's.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let retry = RetryConfig { retry_timeout: PATIENCE, max_retries: 5, ..RetryConfig::default() };
    let built = match scheme {
        "s3://" => {
            AmazonS3Builder::from_env().with_url(&url).with_retry(retry).build().map(|s| Arc::new(s) as _)
        }
        "gs://" => GoogleCloudStorageBuilder::from_env()
            .with_url(&url)
            .with_retry(retry)
            .build()
            .map(|s| Arc::new(s) as _),
        _ => MicrosoftAzureBuilder::from_env()
            .with_url(&url)
            .with_retry(retry)
            .build()
            .map(|s| Arc::new(s) as _),
    };
    let store: Arc<dyn ObjectStore> = built.map_err(error(path, "open the store of"))?;
    stores.insert(url, store.clone());
    Ok(store)
}

/// Waits for a store's answer.
pub(super) fn wait<T>(answer: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().thread_name("objects").build().expect("threads can be made")
    });
    RUNTIME.block_on(answer)
}

fn error(path: &Path, action: &'static str) -> impl FnOnce(object_store::Error) -> Error {
    move |source| match source {
        object_store::Error::NotFound { .. } => not_found(path),
        source => Error::Store { path: path.into(), action, source: Box::new(source) },
    }
}

/// There is nothing at an address.
pub(super) fn not_found(path: &Path) -> Error {
    let problem = "the store has no such object, and none below it";
    Error::io(path, "read")(std::io::Error::new(std::io::ErrorKind::NotFound, problem))
}

/// Whether there is an object.
pub(super) fn exists(place: &Place) -> Result<bool> {
    match wait(place.store.head(&place.key)) {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(e) => Err(place.error("ask for")(e)),
    }
}

/// What is directly below a key.
pub(super) fn entries(place: &Place) -> Result<Vec<Entry>> {
    let listed = wait(place.store.list_with_delimiter(Some(&place.key))).map_err(place.error("list"))?;
    let entry =
        |key: &Key, is_folder| key.filename().map(|name| Entry { path: place.path.join(name), is_folder });
    let files = listed.objects.iter().filter_map(|object| entry(&object.location, false));
    Ok(files.chain(listed.common_prefixes.iter().filter_map(|key| entry(key, true))).collect())
}

/// All objects below a key, sorted.
pub(super) fn list(place: &Place) -> Result<Vec<Listed>> {
    let found =
        wait(place.store.list(Some(&place.key)).try_collect::<Vec<_>>()).map_err(place.error("list"))?;
    let mut listed: Vec<Listed> = found
        .into_iter()
        .filter_map(|object| {
            let parts: Vec<_> = object.location.prefix_match(&place.key)?.collect();
            let names: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
            (!names.is_empty()).then(|| Listed { name: names.join("/"), key: object.location.clone() })
        })
        .collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}
