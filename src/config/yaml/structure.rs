//! The one macro by which the structures of the file are declared.

/// Declares a structure of the file: its keys in the order of a dump, their types, their defaults.
///
/// `Default` is the zero value, which an explicit null leaves behind; `initial` has the defaults.
/// `always` marks keys that are printed even when empty. `checked` structures have a method
/// `check(&mut self, &mut Decoder)` that runs when all keys were read without an issue.
macro_rules! structure {
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@initial) => { Default::default() };
    (@initial $initial:expr) => { $initial };
    (@omit $self:ident $field:ident) => { $crate::config::yaml::decode::Dump::is_zero(&$self.$field) };
    (@omit $self:ident $field:ident always) => { false };
    (@check $value:ident $decoder:ident) => { Ok(()) };
    (@check $value:ident $decoder:ident checked) => { $value.check($decoder) };
    (
        $(#[$meta:meta])*
        $name:ident $label:literal $($checked:ident)? {
            $( $field:ident $(as $key:literal)? : $type:ty $(= $initial:expr)? $(, $always:ident)? ; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        pub struct $name { $( pub $field: $type, )* }

        impl $crate::config::yaml::decode::Structure for $name {
            const LABEL: &'static str = $label;
            const KEYS: &'static [&'static str] = &[
                $( $crate::config::yaml::structure::structure!(@key $field $($key)?), )*
            ];

            fn initial() -> Self {
                $name { $( $field: $crate::config::yaml::structure::structure!(@initial $($initial)?), )* }
            }

            fn decode_field(
                &mut self,
                index: usize,
                decoder: &mut $crate::config::yaml::decode::Decoder<'_>,
                id: $crate::config::yaml::NodeId,
            ) -> Result<bool, $crate::config::yaml::decode::Stop> {
                let key = Self::KEYS.get(index).copied().unwrap_or_default();
                $(
                    if key == $crate::config::yaml::structure::structure!(@key $field $($key)?) {
                        return $crate::config::yaml::decode::Decode::decode(&mut self.$field, decoder, id);
                    }
                )*
                Ok(false)
            }
        }

        impl $crate::config::yaml::decode::Decode for $name {
            fn decode(
                &mut self,
                decoder: &mut $crate::config::yaml::decode::Decoder<'_>,
                id: $crate::config::yaml::NodeId,
            ) -> Result<bool, $crate::config::yaml::decode::Stop> {
                decoder.enter(id, |decoder, view, line| {
                    if view.is_null() {
                        *self = Self::default();
                        return Ok(true);
                    }
                    *self = <Self as $crate::config::yaml::decode::Structure>::initial();
                    let before = decoder.issues().len();
                    decoder.structure(&view, line, self)?;
                    if decoder.issues().len() > before {
                        return Ok(false);
                    }
                    let checked: Result<(), $crate::config::yaml::decode::Stop> =
                        $crate::config::yaml::structure::structure!(@check self decoder $($checked)?);
                    checked.map_err(|mut stop| {
                        stop.line.get_or_insert(line);
                        stop
                    })?;
                    Ok(true)
                })
            }
        }

        impl $crate::config::yaml::decode::Dump for $name {
            fn dump(&self) -> $crate::config::yaml::emit::Doc {
                let mut entries = Vec::new();
                $(
                    if !$crate::config::yaml::structure::structure!(@omit self $field $($always)?) {
                        entries.push((
                            $crate::config::yaml::emit::Doc::from($crate::config::yaml::structure::structure!(@key $field $($key)?)),
                            $crate::config::yaml::decode::Dump::dump(&self.$field),
                        ));
                    }
                )*
                $crate::config::yaml::emit::Doc::Map(entries)
            }

            fn is_zero(&self) -> bool {
                true $( && $crate::config::yaml::decode::Dump::is_zero(&self.$field) )*
            }
        }
    };
}

pub(crate) use structure;
