//! A Lance directory namespace: a manifest that names tables but pins no versions. It is never written.

use super::ManifestLook;

pub(super) fn is_namespace(look: &ManifestLook) -> bool {
    !(look.columns.contains(&"table_version") && look.columns.contains(&"table_key"))
}
