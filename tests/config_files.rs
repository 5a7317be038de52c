//! Every configuration that we ship loads, without a warning.

use std::path::Path;

use carillon::{
    alert::matcher::ParseMode,
    config::{LoadOptions, load},
};

#[test]
fn every_file_in_config_loads_without_a_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let loaded =
            load(&path, &LoadOptions { mode: ParseMode::Fallback }).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        assert_eq!(loaded.warnings, Vec::<String>::new(), "{path:?}");
        files += 1;
    }
    assert!(files >= 3, "{files} files");
}
