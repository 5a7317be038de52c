//! Every configuration that we ship loads, without a warning, and every file of flags is accepted.

use std::path::Path;

use carillon::{
    alert::matcher::ParseMode,
    cli::{self, Command},
    config::{LoadOptions, load},
};

#[test]
fn every_file_in_config_loads_without_a_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yml") => loads(&path),
            Some("flags") => is_accepted(&path),
            other => panic!("{path:?}: what is a {other:?}?"),
        }
        files += 1;
    }
    assert!(files >= 7, "{files} files");
}

fn loads(path: &Path) {
    let loaded = load(path, &LoadOptions { mode: ParseMode::Fallback }).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    assert_eq!(loaded.warnings, Vec::<String>::new(), "{path:?}");
}

fn is_accepted(path: &Path) {
    let parsed = cli::parse([format!("@{}", path.display())], "v").unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let Command::Run(options) = parsed else { panic!("{path:?} does not run the server") };
    assert_eq!(options.cluster.map(|cluster| cluster.peers.len()), Some(3));
}
