//! A graph's root as plain objects, on disk or on S3.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

/// Name → what tells the bytes, of every object under a root.
pub type Snapshot = BTreeMap<String, String>;

const TICK: Duration = Duration::from_millis(1100);

#[derive(Clone)]
pub struct Root {
    uri: String,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Disk(PathBuf),
    S3 { store: Arc<dyn ObjectStore>, prefix: Path },
}

impl Root {
    /// `uri` is an absolute path or `s3://bucket/prefix`; a directory is created when missing.
    pub fn open(uri: &str) -> Result<Self> {
        let uri = uri.trim_end_matches('/').to_owned();
        let place = match uri.strip_prefix("s3://") {
            Some(rest) => {
                let (bucket, prefix) = rest.split_once('/').context("an S3 root is s3://bucket/prefix")?;
                Place::S3 { store: s3_store(bucket)?, prefix: Path::from(prefix) }
            }
            None => {
                let path = PathBuf::from(&uri);
                ensure!(path.is_absolute(), "a root on disk is an absolute path, not {uri:?}");
                std::fs::create_dir_all(&path).with_context(|| format!("create {uri}"))?;
                Place::Disk(path)
            }
        };
        Ok(Self { uri, place })
    }

    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The address of a dataset below the root.
    pub fn dataset_uri(&self, path: &str) -> String {
        format!("{}/{path}", self.uri)
    }

    /// Names of all objects under `folder` (`""` = everything), relative to the root, sorted.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let mut names = match &self.place {
            Place::Disk(base) => {
                let mut found = Vec::new();
                walk(base, &base.join(folder), &mut found)?;
                found
            }
            Place::S3 { store, prefix } => {
                let below = if folder.is_empty() { prefix.clone() } else { join(prefix, folder)? };
                let objects: Vec<_> = store.list(Some(&below)).try_collect().await.context("list")?;
                let start = prefix.as_ref().len() + 1;
                objects
                    .iter()
                    .filter_map(|object| object.location.as_ref().get(start..))
                    .map(str::to_owned)
                    .collect()
            }
        };
        names.sort();
        Ok(names)
    }

    pub async fn get(&self, name: &str) -> Result<Vec<u8>> {
        match &self.place {
            Place::Disk(base) => std::fs::read(base.join(name)).with_context(|| format!("read {name}")),
            Place::S3 { store, prefix } => {
                let answer = store.get(&join(prefix, name)?).await.with_context(|| format!("read {name}"))?;
                Ok(answer.bytes().await?.to_vec())
            }
        }
    }

    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        match &self.place {
            Place::Disk(base) => {
                let path = base.join(name);
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::write(path, bytes).with_context(|| format!("write {name}"))
            }
            Place::S3 { store, prefix } => {
                store
                    .put(&join(prefix, name)?, bytes.into())
                    .await
                    .with_context(|| format!("write {name}"))?;
                Ok(())
            }
        }
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        match &self.place {
            Place::Disk(base) => {
                std::fs::remove_file(base.join(name)).with_context(|| format!("delete {name}"))
            }
            Place::S3 { store, prefix } => {
                store.delete(&join(prefix, name)?).await.with_context(|| format!("delete {name}"))
            }
        }
    }

    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let bytes = self.get(from).await?;
        self.put(to, bytes).await?;
        self.delete(from).await
    }

    /// Deletes everything under `folder` and says how much that was.
    pub async fn delete_all(&self, folder: &str) -> Result<usize> {
        let names = self.list(folder).await?;
        for name in &names {
            self.delete(name).await?;
        }
        if let Place::Disk(base) = &self.place {
            let path = base.join(folder);
            if path.is_dir() {
                std::fs::remove_dir_all(&path).with_context(|| format!("remove {folder}"))?;
            }
        }
        Ok(names.len())
    }

    /// Every object with what tells its bytes and when they were written, so that a rewrite of equal bytes shows too.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let mut snapshot = Snapshot::new();
        match &self.place {
            Place::Disk(base) => {
                for name in self.list("").await? {
                    let hash: String = Sha256::digest(self.get(&name).await?)
                        .iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect();
                    let written = std::fs::metadata(base.join(&name))?.modified()?;
                    snapshot.insert(name, format!("{hash} {written:?}"));
                }
            }
            Place::S3 { store, prefix } => {
                // A store may tell times in whole seconds: what is written next is not of this one.
                tokio::time::sleep(TICK).await;
                let start = prefix.as_ref().len() + 1;
                let mut objects = store.list(Some(prefix));
                while let Some(object) = objects.try_next().await.context("list")? {
                    let name = object.location.as_ref().get(start..).unwrap_or_default().to_owned();
                    snapshot.insert(name, told(&object)?);
                }
            }
        }
        Ok(snapshot)
    }

    pub async fn ensure_empty(&self) -> Result<()> {
        match self.list("").await?.first() {
            None => Ok(()),
            Some(name) => bail!("{} is not empty: it holds {name}", self.uri),
        }
    }
}

/// What changed between two snapshots, one line per object.
pub fn difference(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (name, hash) in before {
        match after.get(name) {
            None => lines.push(format!("- {name}")),
            Some(now) if now != hash => lines.push(format!("~ {name}")),
            Some(_) => {}
        }
    }
    lines.extend(after.keys().filter(|name| !before.contains_key(*name)).map(|name| format!("+ {name}")));
    lines
}

fn told(object: &ObjectMeta) -> Result<String> {
    let tag = object.e_tag.as_deref().with_context(|| format!("{} has no ETag", object.location))?;
    Ok(format!("{tag} {}", object.last_modified))
}

fn join(prefix: &Path, name: &str) -> Result<Path> {
    Ok(Path::parse(format!("{prefix}/{name}"))?)
}

fn walk(base: &FilePath, folder: &FilePath, found: &mut Vec<String>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            walk(base, &path, found)?;
        } else {
            let name = path.strip_prefix(base)?.to_str().context("a name that is not UTF-8")?;
            found.push(name.to_owned());
        }
    }
    Ok(())
}

fn s3_store(bucket: &str) -> Result<Arc<dyn ObjectStore>> {
    let endpoint =
        ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().find_map(|name| std::env::var(name).ok());
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    if let Some(endpoint) = endpoint {
        let plain = endpoint.starts_with("http://");
        builder =
            builder.with_endpoint(endpoint).with_allow_http(plain).with_virtual_hosted_style_request(false);
    }
    Ok(Arc::new(builder.build().with_context(|| format!("S3 bucket {bucket}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn equal_bytes_that_are_written_again_are_seen_on_disk() {
        let folder = std::env::temp_dir().join(format!("interop-root-{}", std::process::id()));
        let root = Root::open(folder.to_str().expect("UTF-8")).expect("a directory");
        root.put("a/b", b"same".to_vec()).await.expect("written");
        let before = root.snapshot().await.expect("read");
        tokio::time::sleep(Duration::from_millis(20)).await;
        root.put("a/b", b"same".to_vec()).await.expect("written again");
        let changed = difference(&before, &root.snapshot().await.expect("read"));
        std::fs::remove_dir_all(&folder).expect("the directory goes");
        assert_eq!(changed, ["~ a/b"]);
    }

    #[test]
    fn equal_bytes_that_are_written_again_are_seen_on_s3() {
        let object = |seconds: u64| ObjectMeta {
            location: Path::from("a"),
            last_modified: (std::time::UNIX_EPOCH + Duration::from_secs(seconds)).into(),
            size: 4,
            e_tag: Some("tag".to_owned()),
            version: None,
        };
        assert_ne!(told(&object(1)).expect("a tag"), told(&object(2)).expect("a tag"));
    }

    #[test]
    fn difference_names_what_went_came_and_changed() {
        let snapshot = |pairs: &[(&str, &str)]| -> Snapshot {
            pairs.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect()
        };
        let before = snapshot(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let after = snapshot(&[("b", "2"), ("c", "1"), ("d", "1")]);
        assert_eq!(difference(&before, &after), ["- a", "~ b", "+ d"]);
        assert!(difference(&after, &after).is_empty());
    }
}
