//! How the plain kinds of values are read and written: text, numbers, lists, maps, free-form values.

use std::collections::{BTreeMap, HashSet};

use super::{
    decode::{Decode, Decoder, Dump, Stop, View},
    emit::Doc,
    scalar::Scalar,
    tree::NodeId,
};
use crate::alert::text::quote;

impl Decode for String {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        decoder.enter(id, |decoder, view, line| {
            Ok(match decoder.text(&view, line)? {
                Some(text) => {
                    *self = text;
                    true
                }
                None => false,
            })
        })
    }
}

impl Decode for bool {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        decoder.enter(id, |decoder, view, line| {
            *self = match view {
                View::Scalar { scalar: Scalar::Null, .. } => false,
                View::Scalar { scalar: Scalar::Bool(value), .. } => value,
                _ => return Ok(decoder.mismatch_shown(&view, line, "bool")),
            };
            Ok(true)
        })
    }
}

/// An integer as Go's decoder takes it: a float is cut off.
#[allow(clippy::cast_possible_truncation, reason = "checked by the range before")]
fn integer(scalar: Scalar) -> Option<i128> {
    match scalar {
        Scalar::Null => Some(0),
        Scalar::Int(value) => Some(value.into()),
        Scalar::UInt(value) => Some(value.into()),
        Scalar::Float(value) if value.abs() < 1e19 => Some(value as i128),
        _ => None,
    }
}

macro_rules! decode_integer {
    ($($type:ty, $name:literal;)*) => {$(
        impl Decode for $type {
            fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
                decoder.enter(id, |decoder, view, line| {
                    let value = match view {
                        View::Scalar { scalar, .. } => integer(scalar).and_then(|value| <$type>::try_from(value).ok()),
                        _ => None,
                    };
                    let Some(value) = value else { return Ok(decoder.mismatch_shown(&view, line, $name)) };
                    *self = value;
                    Ok(true)
                })
            }
        }
    )*};
}

decode_integer! {
    i64, "int64";
    u64, "uint64";
}

impl Decode for f64 {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        decoder.enter(id, |decoder, view, line| {
            *self = match view {
                View::Scalar { scalar: Scalar::Null, .. } => 0.0,
                View::Scalar { scalar: Scalar::Int(value), .. } => lossy(value),
                View::Scalar { scalar: Scalar::UInt(value), .. } => lossy_unsigned(value),
                View::Scalar { scalar: Scalar::Float(value), .. } => value,
                _ => return Ok(decoder.mismatch_shown(&view, line, "float64")),
            };
            Ok(true)
        })
    }
}

impl<T: Decode + Default> Decode for Option<T> {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        if decoder.is_null(id) {
            *self = None;
            return Ok(true);
        }
        self.get_or_insert_with(T::default).decode(decoder, id)
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        (**self).decode(decoder, id)
    }
}

impl<T: Decode + Default> Decode for Vec<T> {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        decoder.enter(id, |decoder, view, line| {
            self.clear();
            let items = match view {
                View::List(items) => items,
                _ if view.is_null() => return Ok(true),
                _ => return Ok(decoder.mismatch(&view, line, "a list")),
            };
            for item in items {
                let mut value = T::default();
                if value.decode(decoder, *item)? {
                    self.push(value);
                }
            }
            Ok(true)
        })
    }
}

impl<T: Decode + Default> Decode for BTreeMap<String, T> {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        decoder.enter(id, |decoder, view, line| {
            if view.is_null() {
                self.clear();
                return Ok(true);
            }
            decode_text_map(self, decoder, &view, line)
        })
    }
}

fn decode_text_map<'t, T: Decode + Default>(
    map: &mut BTreeMap<String, T>,
    decoder: &mut Decoder<'t>,
    view: &View<'t>,
    line: u32,
) -> Result<bool, Stop> {
    let View::Map(entries) = view else { return Ok(decoder.mismatch(view, line, "a map")) };
    for (key, value) in *entries {
        if decoder.is_merge(*key) {
            decoder.merge(*value, |decoder, view, line| decode_text_map(map, decoder, &view, line))?;
            continue;
        }
        let (mut name, mut item) = (String::new(), T::default());
        if !name.decode(decoder, *key)? || !item.decode(decoder, *value)? {
            continue;
        }
        if map.contains_key(&name) {
            let line = decoder.line(*value);
            decoder.issue(line, format_args!("key {} already set in map", quote(&name)));
            continue;
        }
        map.insert(name, item);
    }
    Ok(true)
}

impl Decode for Doc {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        decoder.enter(id, |decoder, view, line| {
            *self = match view {
                View::Scalar { text, scalar } => match scalar {
                    Scalar::Null => Doc::Null,
                    Scalar::Bool(value) => Doc::Bool(value),
                    Scalar::Int(value) => Doc::Int(value),
                    Scalar::UInt(value) => Doc::UInt(value),
                    Scalar::Float(value) => Doc::Float(value),
                    Scalar::Binary => Doc::Text(decoder.text(&view, line)?.unwrap_or_default()),
                    Scalar::Text | Scalar::Timestamp | Scalar::Merge => Doc::Text(text.to_owned()),
                },
                View::List(items) => {
                    let mut list = Vec::with_capacity(items.len());
                    for item in items {
                        let mut value = Doc::Null;
                        if value.decode(decoder, *item)? {
                            list.push(value);
                        }
                    }
                    Doc::List(list)
                }
                View::Map(entries) => {
                    let mut map = FreeMap::default();
                    map.read(decoder, entries)?;
                    map.entries.sort_by(|(a, _), (b, _)| compare_keys(a, b));
                    Doc::Map(map.entries)
                }
            };
            Ok(true)
        })
    }
}

/// The order of keys in a dump: what is no text first.
fn compare_keys(a: &Doc, b: &Doc) -> std::cmp::Ordering {
    let place = |key: &Doc| match key {
        Doc::Bool(value) => (0, f64::from(*value)),
        Doc::Int(value) => (1, lossy(*value)),
        Doc::UInt(value) => (1, lossy_unsigned(*value)),
        Doc::Float(value) => (1, *value),
        Doc::Null => (2, 0.0),
        _ => (3, 0.0),
    };
    let text = |key: &Doc| match key {
        Doc::Text(text) => text.clone(),
        _ => String::new(),
    };
    let ((a_kind, a_value), (b_kind, b_value)) = (place(a), place(b));
    a_kind.cmp(&b_kind).then(a_value.total_cmp(&b_value)).then_with(|| text(a).cmp(&text(b)))
}

#[allow(clippy::cast_precision_loss, reason = "a number taken for a float is one")]
fn lossy(value: i64) -> f64 {
    value as f64
}

#[allow(clippy::cast_precision_loss, reason = "a number taken for a float is one")]
fn lossy_unsigned(value: u64) -> f64 {
    value as f64
}

/// A map whose keys are whatever they are.
#[derive(Default)]
struct FreeMap {
    entries: Vec<(Doc, Doc)>,
    seen: HashSet<String>,
}

impl FreeMap {
    fn read<'t>(&mut self, decoder: &mut Decoder<'t>, entries: &'t [(NodeId, NodeId)]) -> Result<(), Stop> {
        for (key_id, value_id) in entries {
            if decoder.is_merge(*key_id) {
                decoder.merge(*value_id, |decoder, view, _| {
                    if let View::Map(entries) = view {
                        self.read(decoder, entries)?;
                    }
                    Ok(true)
                })?;
                continue;
            }
            let (mut key, mut value) = (Doc::Null, Doc::Null);
            if !key.decode(decoder, *key_id)? {
                continue;
            }
            let key_line = decoder.line(*key_id);
            if matches!(key, Doc::List(_) | Doc::Map(_)) {
                return Err(Stop { line: Some(key_line), reason: "yaml: invalid map key".to_owned() });
            }
            if !value.decode(decoder, *value_id)? {
                continue;
            }
            if self.seen.insert(format!("{key:?}")) {
                self.entries.push((key, value));
            } else {
                let line = decoder.line(*value_id);
                let shown = match &key {
                    Doc::Text(text) => quote(text),
                    other => format!("{other:?}"),
                };
                decoder.issue(line, format_args!("key {shown} already set in map"));
            }
        }
        Ok(())
    }
}

macro_rules! dump_scalar {
    ($($type:ty => $variant:ident, $zero:expr;)*) => {$(
        impl Dump for $type {
            fn dump(&self) -> Doc {
                Doc::$variant(self.clone())
            }

            fn is_zero(&self) -> bool {
                *self == $zero
            }
        }
    )*};
}

dump_scalar! {
    String => Text, "";
    bool => Bool, false;
    i64 => Int, 0;
    u64 => UInt, 0;
    f64 => Float, 0.0;
}

impl<T: Dump> Dump for Option<T> {
    fn dump(&self) -> Doc {
        self.as_ref().map_or(Doc::Null, Dump::dump)
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

impl<T: Dump> Dump for Box<T> {
    fn dump(&self) -> Doc {
        (**self).dump()
    }

    fn is_zero(&self) -> bool {
        (**self).is_zero()
    }
}

impl<T: Dump> Dump for Vec<T> {
    fn dump(&self) -> Doc {
        Doc::List(self.iter().map(Dump::dump).collect())
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Dump> Dump for BTreeMap<String, T> {
    fn dump(&self) -> Doc {
        Doc::Map(self.iter().map(|(key, value)| (Doc::Text(key.clone()), value.dump())).collect())
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl Dump for Doc {
    fn dump(&self) -> Doc {
        self.clone()
    }

    fn is_zero(&self) -> bool {
        *self == Doc::Null
    }
}
