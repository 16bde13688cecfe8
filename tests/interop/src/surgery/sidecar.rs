//! Surgery on sidecars.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::layout;
use crate::root::Root;

#[derive(Debug, Clone)]
pub enum SidecarEdit {
    /// Gives the object another name than its operation id.
    Rename { to: &'static str },
    /// Deletes it, as its writer does when it has finished.
    Remove,
    /// Sets `schema_version`.
    Version { to: u64 },
    /// As a writer of sidecar version 1 leaves it: nothing is confirmed.
    AsVersion1,
    /// Sets `writer_kind`.
    Kind { to: &'static str },
    /// Replaces everything before `/nodes/` and `/edges/` in the recorded paths.
    Paths { under: &'static str },
    /// Adds a pin of a table that the graph does not have.
    UnknownTable { key: &'static str },
}

impl SidecarEdit {
    pub async fn apply(&self, root: &Root) -> Result<()> {
        let (name, mut sidecar) = only_sidecar(root).await?;
        match self {
            Self::Rename { to } => {
                return root.rename(&name, &format!("{}/{to}.json", layout::RECOVERY_DIR)).await;
            }
            Self::Remove => return root.delete(&name).await,
            Self::Version { to } => sidecar["schema_version"] = json!(to),
            Self::AsVersion1 => {
                sidecar["schema_version"] = json!(1);
                for pin in pins(&mut sidecar)? {
                    pin.as_object_mut().context("a pin is an object")?.remove("confirmed_version");
                }
            }
            Self::Kind { to } => sidecar["writer_kind"] = json!(to),
            Self::Paths { under } => {
                for pin in pins(&mut sidecar)? {
                    let key = pin["table_key"].as_str().context("a pin has a key")?;
                    pin["table_path"] = json!(format!("{under}/{}", layout::table_path(key)));
                }
            }
            Self::UnknownTable { key } => {
                let path = root.dataset_uri(&layout::table_path(key));
                let pin = json!({ "table_key": key, "table_path": path, "expected_version": 3, "post_commit_pin": 4 });
                pins(&mut sidecar)?.push(pin);
            }
        }
        root.put(&name, serde_json::to_vec_pretty(&sidecar)?).await
    }
}

async fn only_sidecar(root: &Root) -> Result<(String, Value)> {
    let names = root.list(layout::RECOVERY_DIR).await?;
    let [name] = names.as_slice() else { bail!("expected one sidecar, found {names:?}") };
    Ok((name.clone(), serde_json::from_slice(&root.get(name).await?)?))
}

fn pins(sidecar: &mut Value) -> Result<&mut Vec<Value>> {
    sidecar["tables"].as_array_mut().context("a sidecar has a list of tables")
}
