//! What a template may use up. Each limit ends the rendering with an error that names it.

/// Parsed configured strings kept.
pub const PARSED_MAX: usize = 512;
/// Blocks and parentheses inside each other, in one template text.
pub const NESTING_MAX: usize = 100;
/// Ranges inside each other in HTML templates: the escaper visits a range's body twice.
pub const HTML_RANGE_NESTING_MAX: usize = 10;
/// Templates that call each other, and the blocks they do it in.
pub const DEPTH_MAX: usize = 10_000;
/// The same where HTML is made: `gotmpl`, which assembles it, recurses and stops at 200.
pub const HTML_DEPTH_MAX: usize = 150;
/// Templates and blocks inside each other that the HTML analysis follows, and the stack it gets for them.
pub const HTML_CHAIN_MAX: usize = 300;
pub const HTML_ANALYSIS_STACK_BYTES: usize = 64 << 20;
/// Tree nodes visited, list elements copied and the like, in one rendering. A mail about 10,000 alerts takes
/// about two million. Fewer in tests, which run unoptimised.
pub const STEPS_MAX: u64 = if cfg!(test) { 1_000_000 } else { 10_000_000 };
/// Bytes of text that functions made and that were printed, in one rendering.
pub const BYTES_MAX: u64 = if cfg!(test) { 32 << 20 } else { 256 << 20 };
/// The longest text a function may return, and the longest output.
pub const TEXT_BYTES_MAX: usize = if cfg!(test) { 8 << 20 } else { 32 << 20 };
/// Lists and maps inside each other.
pub const VALUE_DEPTH_MAX: u16 = 100;
/// Route labels that call each other.
pub const ROUTE_LABEL_DEPTH_MAX: usize = 16;
