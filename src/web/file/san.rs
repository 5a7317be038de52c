//! The names that a certificate is good for: its subject alternative names, read from the DER by hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const EXTENSIONS: u8 = 0xA3;
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1D, 0x11];

/// Mail addresses, host names, URIs and IP addresses of the certificate; what cannot be read is left out.
pub(super) fn alternative_names(certificate: &[u8]) -> Vec<String> {
    let names = find(certificate).unwrap_or_default();
    elements(names).filter_map(|(tag, value)| name(tag, value)).collect()
}

/// The list of names in the extension that has it.
fn find(certificate: &[u8]) -> Option<&[u8]> {
    let (_, body) = element(certificate)?.0;
    let (_, to_be_signed) = element(body)?.0;
    let (_, extensions) = elements(to_be_signed).find(|(tag, _)| *tag == EXTENSIONS)?;
    let (_, list) = element(extensions)?.0;
    let value = elements(list).find_map(|(_, extension)| {
        let mut parts = elements(extension);
        (parts.next()? == (OBJECT_ID, &SUBJECT_ALT_NAME[..])).then_some(())?;
        // "critical" may stand between.
        parts.find(|(tag, _)| *tag == OCTETS)
    })?;
    let ((tag, names), _) = element(value.1)?;
    (tag == SEQUENCE).then_some(names)
}

fn name(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        // rfc822Name, dNSName, uniformResourceIdentifier
        0x81 | 0x82 | 0x86 => String::from_utf8(value.to_vec()).ok(),
        // iPAddress
        0x87 => <[u8; 4]>::try_from(value)
            .map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)))
            .or_else(|_| <[u8; 16]>::try_from(value).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes))))
            .ok()
            .map(|ip| ip.to_string()),
        _ => None,
    }
}

type Element<'d> = (u8, &'d [u8]);

/// Tag and value of the first element, and what follows it.
fn element(data: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, rest) = data.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
        (bytes.len() <= 4).then_some(())?;
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some(((*tag, value), rest))
}

fn elements(data: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (element, after) = element(rest)?;
        rest = after;
        Some(element)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An element of up to 255 bytes.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        [&[tag, 0x81, u8::try_from(value.len()).unwrap()], &*value].concat()
    }

    #[test]
    fn names_of_all_kinds_are_found() {
        let names = [
            der(0x81, &[b"a@b.example"]),
            der(0x82, &[b"host.example"]),
            der(0x86, &[b"spiffe://x/y"]),
            der(0x87, &[&[10, 0, 0, 1]]),
            der(0x87, &[&[0; 15], &[1]]),
            der(0xA4, &[b"directory name"]),
        ];
        let names = der(SEQUENCE, &names.each_ref().map(Vec::as_slice));
        let other = der(SEQUENCE, &[&der(OBJECT_ID, &[&[0x55, 0x1D, 0x0F]]), &der(OCTETS, &[b"x"])]);
        let wanted =
            der(SEQUENCE, &[&der(OBJECT_ID, &[&SUBJECT_ALT_NAME]), &der(0x01, &[&[0xFF]]), &der(OCTETS, &[&names])]);
        let extensions = der(EXTENSIONS, &[&der(SEQUENCE, &[&other, &wanted])]);
        let certificate = der(SEQUENCE, &[&der(SEQUENCE, &[&der(0x02, &[&[1]]), &extensions])]);
        assert_eq!(alternative_names(&certificate), ["a@b.example", "host.example", "spiffe://x/y", "10.0.0.1", "::1"]);
    }

    proptest! {
        #[test]
        fn no_certificate_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = alternative_names(&bytes);
        }
    }
}
