//! The signed assertion of the JWT bearer grant (RFC 7523): what says that we are the `OAuth2` client.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Map, Value, json};

use crate::{
    clock::{Clock, Time},
    config::model::{OAuth2, OAuth2Jwt, Payload},
    random::Random,
};

const LIFE_SECONDS: i64 = 600;

/// The assertion for one token request. The error text holds nothing of the key.
pub(super) fn assertion(
    config: &OAuth2,
    jwt: &OAuth2Jwt,
    key_pem: &str,
    clock: &Clock,
    random: &Random,
) -> Result<String, String> {
    let key = parse_key(key_pem)?;
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = match jwt.key_id.as_str() {
        "" => json!({ "alg": jwt.algorithm, "typ": "JWT" }),
        id => json!({ "alg": jwt.algorithm, "kid": id, "typ": "JWT" }),
    };
    let signed = format!("{}.{}", encode(&header), encode(&claims(config, jwt, clock.now(), random.uuid_v4())));
    let mut signature = vec![0; key.public().modulus_len()];
    // Only blinds the computation: the signature is the same whatever it yields.
    let blinding = SystemRandom::new();
    key.sign(padding(&jwt.algorithm), &blinding, signed.as_bytes(), &mut signature)
        .map_err(|_| "the key cannot sign".to_owned())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn padding(algorithm: &str) -> &'static dyn RsaEncoding {
    match algorithm {
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        _ => &RSA_PKCS1_SHA256,
    }
}

fn parse_key(pem: &str) -> Result<RsaKeyPair, String> {
    let parsed = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        Ok(_) => return Err("key is not a valid RSA private key".to_owned()),
        Err(_) => return Err("invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key".to_owned()),
    };
    parsed.map_err(|_| "key is not a valid RSA private key".to_owned())
}

/// Configured claims win over the standard ones.
fn claims(config: &OAuth2, jwt: &OAuth2Jwt, now: Time, id: String) -> Value {
    let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), or(&jwt.iss, &config.client_id).into());
    claims.insert("sub".to_owned(), config.client_id.as_str().into());
    claims.insert("jti".to_owned(), id.into());
    claims.insert("aud".to_owned(), or(&jwt.audience, &config.token_url).into());
    claims.insert("iat".to_owned(), now.timestamp().into());
    claims.insert("exp".to_owned(), (now.timestamp() + LIFE_SECONDS).into());
    if !config.scopes.is_empty() {
        claims.insert("scope".to_owned(), config.scopes.join(" ").into());
    }
    claims.extend(jwt.claims.iter().map(|(name, value)| (name.clone(), to_json(value))));
    Value::Object(claims)
}

fn to_json(value: &Payload) -> Value {
    match value {
        Payload::Null => Value::Null,
        Payload::Bool(value) => (*value).into(),
        Payload::Int(value) => (*value).into(),
        Payload::UInt(value) => (*value).into(),
        Payload::Float(value) => (*value).into(),
        Payload::Text(text) => text.as_str().into(),
        Payload::List(items) => Value::Array(items.iter().map(to_json).collect()),
        Payload::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), to_json(value))).collect(),
    }
}
