//! The shared configuration files of AWS tools: profiles of keys and values.

use std::{collections::BTreeMap, fmt};

use super::environment::Environment;
use crate::httpconf::read_text_file;

/// One profile: what both files say of it. The credentials file wins, as with AWS's own tools.
#[derive(Clone, Default)]
pub(super) struct Profile(BTreeMap<String, String>);

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profile(…)")
    }
}

impl Profile {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// All profiles, by name.
#[derive(Debug, Default)]
pub(super) struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// Files that are not there are fine: most machines have none.
    pub async fn load(environment: &Environment) -> Self {
        let mut profiles = Profiles::default();
        if let Some(path) = environment.config_file()
            && let Ok(text) = read_text_file(&path).await
        {
            profiles.add(&text, config_section);
        }
        if let Some(path) = environment.credentials_file()
            && let Ok(text) = read_text_file(&path).await
        {
            profiles.add(&text, |section| Some(section));
        }
        profiles
    }

    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }

    fn add(&mut self, text: &str, profile_of: fn(&str) -> Option<&str>) {
        let mut current: Option<&mut Profile> = None;
        for line in text.lines() {
            // Indented lines belong to nested settings, of which none matters here.
            if line.starts_with([' ', '\t', '#', ';']) {
                continue;
            }
            if let Some(section) = line.trim().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                current = profile_of(section.0.trim()).map(|name| self.0.entry(name.to_owned()).or_default());
            } else if let (Some(profile), Some((key, value))) = (&mut current, line.split_once('=')) {
                let value = value.split(" #").next().unwrap_or(value).split(" ;").next().unwrap_or(value);
                profile.0.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
    }
}

/// Profiles of the configuration file are called `profile NAME`, but for the default one.
fn config_section(section: &str) -> Option<&str> {
    match section.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t'])) {
        Some(name) => Some(name.trim()),
        None => (section == "default").then_some(section),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_files_make_one_profile() {
        let dir = tempfile::tempdir().unwrap();
        let (config, credentials) = (dir.path().join("config"), dir.path().join("credentials"));
        std::fs::write(
            &config,
            "[default]\nregion = eu-west-1\n# x = y\n[profile ops]\nregion=eu-west-2 # here\nrole_arn = arn:r\n\
             s3 =\n  max = 3\n[sso-session s]\nregion = no\n",
        )
        .unwrap();
        std::fs::write(&credentials, "[ops]\nAWS_ACCESS_KEY_ID = AK=1\nregion = eu-west-3\n").unwrap();
        let environment = Environment::of([
            ("AWS_CONFIG_FILE", config.to_str().unwrap()),
            ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()),
        ]);
        let profiles = Profiles::load(&environment).await;
        let ops = profiles.get("ops").unwrap();
        assert_eq!(ops.get("region"), Some("eu-west-3"));
        assert_eq!((ops.get("role_arn"), ops.get("aws_access_key_id")), (Some("arn:r"), Some("AK=1")));
        assert_eq!((ops.get("s3"), ops.get("max")), (None, None));
        assert_eq!(profiles.get("default").unwrap().get("region"), Some("eu-west-1"));
        assert!(profiles.get("sso-session s").is_none());
    }

    #[tokio::test]
    async fn missing_files_are_no_profiles() {
        assert!(Profiles::load(&Environment::of([("HOME", "/no/such")])).await.get("default").is_none());
    }
}
