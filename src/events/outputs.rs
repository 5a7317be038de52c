//! Outputs that take a line at once: files and standard output.
//!
//! A file is opened anew when its name no longer leads to it, as after a rotation.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub enum LineOutput {
    File(FileOutput),
    Stdout,
}

#[derive(Debug)]
pub struct FileOutput {
    path: PathBuf,
    /// `None`: it could not be opened again after a rotation.
    file: Option<File>,
}

impl LineOutput {
    /// Label `output` of the metrics.
    pub fn name(&self) -> String {
        match self {
            LineOutput::File(output) => format!("file:{}", output.path.display()),
            LineOutput::Stdout => "stdout".to_owned(),
        }
    }

    /// Writes whole lines.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            LineOutput::File(output) => output.write(lines),
            LineOutput::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
        }
    }
}

impl FileOutput {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(FileOutput { path: path.to_owned(), file: Some(append(path)?) })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.is_in_place() {
            self.file = None;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(append(&self.path)?),
        };
        file.write_all(lines)
    }

    fn is_in_place(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let (Ok(own), Ok(there)) = (file.metadata(), std::fs::metadata(&self.path)) else { return false };
        (own.dev(), own.ino()) == (there.dev(), there.ino())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_file_is_followed_by_a_new_one_of_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        let mut output = LineOutput::File(FileOutput::open(&path).unwrap());
        output.write(b"1\n").unwrap();
        std::fs::rename(&path, directory.path().join("old")).unwrap();
        output.write(b"2\n").unwrap();
        output.write(b"3\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        output.write(b"4\n").unwrap();
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!((read("old").as_str(), read("events.jsonl").as_str()), ("1\n", "4\n"));
        assert!(output.name().starts_with("file:/") && LineOutput::Stdout.name() == "stdout");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(FileOutput::open(Path::new("/nowhere/events.jsonl")).is_err());
    }
}
