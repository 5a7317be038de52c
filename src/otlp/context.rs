//! Who a span is, across processes: the W3C headers `traceparent` and `tracestate`, and which traces are recorded.
//! Pure functions over bytes.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The specification has us keep at least so much of `tracestate`; what is longer is left out whole.
const STATE_BYTES_MAX: usize = 512;
/// `00-` trace `-` span `-` flags.
const HEADER_LEN: usize = 55;
const SAMPLED: u8 = 1;

/// Identifies a span, and says whether its trace is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) sampled: bool,
    /// What other systems want to be carried along.
    pub(super) state: Option<Arc<str>>,
}

impl Context {
    /// What the sender of these headers says of its span. `None`: nothing, or nothing that can be used.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let (parent, None) = (given.next()?, given.next()) else { return None };
        let context = Context::parse(parent.as_bytes())?;
        let states: Vec<&str> = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
        let state = states.join(",");
        let is_kept = !state.is_empty() && state.len() <= STATE_BYTES_MAX;
        Some(Context { state: is_kept.then(|| state.into()), ..context })
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (fixed, rest) = text.split_at_checked(HEADER_LEN)?;
        let [version] = hex::<1>(fixed.get(..2)?)?;
        // Later versions may add fields at the end.
        let is_whole = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with(b"-") };
        let has_dashes = [2, 35, 52].into_iter().all(|place| fixed.get(place) == Some(&b'-'));
        if version == 0xff || !is_whole || !has_dashes {
            return None;
        }
        let (trace, span) = (hex::<16>(fixed.get(3..35)?)?, hex::<8>(fixed.get(36..52)?)?);
        let [flags] = hex::<1>(fixed.get(53..)?)?;
        let is_valid = trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Context { trace, span, sampled: flags & SAMPLED != 0, state: None })
    }

    /// Shows the other side which span a request belongs to, unless it is shown another already.
    pub fn show(&self, headers: &mut HeaderMap) {
        if headers.contains_key(TRACEPARENT) {
            return;
        }
        let mut text = String::with_capacity(HEADER_LEN);
        text.push_str("00-");
        push_hex(&mut text, &self.trace);
        text.push('-');
        push_hex(&mut text, &self.span);
        text.push_str(if self.sampled { "-01" } else { "-00" });
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(TRACEPARENT, value);
        }
        if let Some(value) = self.state.as_deref().and_then(|state| HeaderValue::from_str(state).ok()) {
            headers.insert(TRACESTATE, value);
        }
    }
}

/// Which traces that begin here are recorded: the same of them on every node and for every program that goes by the
/// second half of the id, as is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share(u64);

impl Share {
    const ALL: u64 = 1 << 63;

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1")]
    pub fn of(fraction: f64) -> Self {
        // What is no number records nothing.
        Share(if fraction >= 1.0 { Self::ALL } else { (fraction.max(0.0) * Self::ALL as f64) as u64 })
    }

    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    pub fn takes(self, trace: [u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g, h] = trace;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.0
    }
}

/// Lower-case digits only, as the specification has it.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            text.extend(DIGITS.get(usize::from(half)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn shown(context: &Context) -> HeaderMap {
        let mut headers = HeaderMap::new();
        context.show(&mut headers);
        headers
    }

    #[test]
    fn a_parent_comes_back_as_it_was_given() {
        for flags in ["00", "01"] {
            let parent = format!("00-{TRACE}-{SPAN}-{flags}");
            let given = headers(&[("traceparent", &parent), ("tracestate", "a=1"), ("tracestate", "b=2")]);
            let context = Context::of(&given).unwrap();
            assert_eq!(context.sampled, flags == "01");
            let shown = shown(&context);
            assert_eq!(shown["traceparent"], parent.as_str());
            assert_eq!(shown["tracestate"], "a=1,b=2");
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let longer = Context::of(&headers(&[("traceparent", &format!("01-{TRACE}-{SPAN}-03-more"))]));
        assert!(longer.unwrap().sampled);
        assert!(Context::of(&headers(&[("traceparent", &format!("01-{TRACE}-{SPAN}-01"))])).is_some());
    }

    #[test]
    fn what_is_no_parent_is_ignored() {
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00_{TRACE}_{SPAN}_01"),
        ] {
            assert_eq!(Context::of(&headers(&[("traceparent", &bad)])), None, "{bad}");
        }
        let twice = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(Context::of(&headers(&[("traceparent", &twice), ("traceparent", &twice)])), None);
    }

    #[test]
    fn a_state_that_is_too_long_is_left_out() {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let long = format!("a={}", "x".repeat(600));
        let context = Context::of(&headers(&[("traceparent", &parent), ("tracestate", &long)])).unwrap();
        assert_eq!(context.state, None);
    }

    #[test]
    fn a_parent_that_is_shown_already_stays() {
        let context = Context { trace: [1; 16], span: [2; 8], sampled: true, state: None };
        let mut given = headers(&[("traceparent", "own")]);
        context.show(&mut given);
        assert_eq!(given["traceparent"], "own");
    }

    #[test]
    fn the_share_goes_by_the_second_half_of_the_id() {
        let trace = |second: u64| {
            let mut trace = [0xff; 16];
            trace[8..].copy_from_slice(&second.to_be_bytes());
            trace
        };
        assert!(Share::of(1.0).takes(trace(u64::MAX)) && Share::of(7.0).takes(trace(u64::MAX)));
        assert!(Share::of(0.5).takes(trace(u64::MAX / 2)) && !Share::of(0.5).takes(trace(u64::MAX / 2 + 2)));
        for nothing in [0.0, -1.0, f64::NAN] {
            assert!(Share::of(nothing).is_none() && !Share::of(nothing).takes(trace(0)), "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>) {
            if let Some(context) = Context::parse(&bytes) {
                prop_assert_eq!(shown(&context)["traceparent"].as_bytes()[2..52].to_vec(), bytes[2..52].to_vec());
            }
        }
    }
}
