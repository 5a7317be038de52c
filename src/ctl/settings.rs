//! Files with defaults of flags: a flat map in YAML, a flag's name and its value.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use crate::config::yaml::{
    Tree,
    decode::{Context, Decode as _, Decoder},
};

/// Below the home folder.
const HOME: [&str; 2] = [".config/amtool/config.yml", ".config/prometheus/amtool.yml"];
const SYSTEM: [&str; 2] = ["/etc/amtool/config.yml", "/etc/prometheus/amtool.yml"];
/// The name by which the flag `require-comment` went once.
const LEGACY: (&str, &str) = ("comment_required", "require-comment");

/// A file that is there and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("could not load config file: {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not load config file: {}: {why}", path.display())]
    Wrong { path: PathBuf, why: String },
}

/// The defaults that this user and this system have set.
///
/// # Errors
/// One of the files cannot be read.
pub fn load(home: Option<&Path>) -> Result<BTreeMap<String, String>, SettingsError> {
    let of_user = HOME.iter().filter_map(|name| home.map(|home| home.join(name)));
    let of_system = SYSTEM.iter().map(PathBuf::from);
    let mut all = BTreeMap::new();
    for path in of_user.chain(of_system) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(source) => return Err(SettingsError::Read { path, source }),
        };
        let read = parse(&text).map_err(|why| SettingsError::Wrong { path, why })?;
        for (name, value) in read {
            all.entry(name).or_insert(value);
        }
    }
    Ok(all)
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let tree = Tree::parse(text).map_err(|error| error.to_string())?;
    let mut map = BTreeMap::new();
    let Some(root) = tree.root() else { return Ok(map) };
    let mut decoder = Decoder::new(&tree, Context::default());
    map.decode(&mut decoder, root).map_err(|stop| stop.reason)?;
    if !decoder.issues().is_empty() {
        return Err(format!("yaml: unmarshal errors:\n  {}", decoder.issues().join("\n  ")));
    }
    if let Some(value) = map.remove(LEGACY.0) {
        map.entry(LEGACY.1.to_owned()).or_insert(value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_counts_and_the_old_name_is_known() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(HOME[0], "output: json\ncomment_required: false\n");
        write(HOME[1], "output: simple\nauthor: me\n");
        let settings = load(Some(home.path())).unwrap();
        let get = |name: &str| settings.get(name).map(String::as_str);
        assert_eq!((get("output"), get("author"), get("require-comment")), (Some("json"), Some("me"), Some("false")));
    }

    #[test]
    fn a_file_that_is_no_flat_map_is_an_error() {
        assert_eq!(parse("").unwrap().len(), 0);
        let error = parse("a: 1\nannotation: [a, b]\n").unwrap_err();
        assert!(error.contains("line 2: cannot unmarshal !!seq into string"), "{error}");
        assert!(parse("a: [").unwrap_err().starts_with("yaml: line 1"));
    }
}
