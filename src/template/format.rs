//! Go's `fmt` over template values: `print`, `println`, `printf` and how an action prints.

use super::{
    floats,
    value::{ListKind, Value, own_text, sorted_pairs},
    verbs::{self, Spec},
};
use crate::alert::Labels;

/// Text that stops growing at its limit.
pub struct Out {
    pub text: String,
    max: usize,
    pub overflowed: bool,
}

impl Out {
    pub fn new(max: usize) -> Self {
        Out { text: String::new(), max, overflowed: false }
    }

    pub fn push_str(&mut self, text: &str) {
        if self.text.len().saturating_add(text.len()) > self.max {
            self.overflowed = true;
        }
        if !self.overflowed {
            self.text.push_str(text);
        }
    }

    pub fn push(&mut self, c: char) {
        self.push_str(c.encode_utf8(&mut [0; 4]));
    }

    /// `c`, an ASCII character, so many times.
    pub fn repeat(&mut self, c: char, count: usize) {
        if self.text.len().saturating_add(count) > self.max {
            self.overflowed = true;
        }
        if !self.overflowed {
            self.text.extend(std::iter::repeat_n(c, count));
        }
    }

    fn finish(self) -> Result<String, String> {
        if self.overflowed { Err(format!("text longer than {} bytes", self.max)) } else { Ok(self.text) }
    }
}

/// `fmt.Sprint`: blanks between operands of which neither is a string.
pub fn sprint(args: &[Value], max: usize) -> Result<String, String> {
    let mut out = Out::new(max);
    let mut previous_is_text = true;
    for (i, arg) in args.iter().enumerate() {
        let is_text = arg.as_text().is_some();
        if i > 0 && !is_text && !previous_is_text {
            out.push(' ');
        }
        print_argument(&mut out, arg, &Spec::new('v'));
        previous_is_text = is_text;
    }
    out.finish()
}

/// `fmt.Sprintln`: blanks between all operands, a newline behind them.
pub fn sprintln(args: &[Value], max: usize) -> Result<String, String> {
    let mut out = Out::new(max);
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        print_argument(&mut out, arg, &Spec::new('v'));
    }
    out.push('\n');
    out.finish()
}

/// How an action prints its value.
pub fn print_value(value: &Value, max: usize) -> Result<String, String> {
    match value {
        Value::Nil | Value::NilAny => Ok("<no value>".to_owned()),
        Value::Text(text) | Value::Marked(_, text) if text.len() <= max => Ok(text.to_string()),
        value => sprint(std::slice::from_ref(value), max),
    }
}

/// `fmt.Sprintf`.
pub fn sprintf(format: &str, args: &[Value], max: usize) -> Result<String, String> {
    let mut out = Out::new(max);
    let mut printer = Printf { rest: format, args, next: 0, reordered: false };
    printer.run(&mut out);
    out.finish()
}

/// One formatting run: the format's unread part and the next argument.
struct Printf<'a> {
    rest: &'a str,
    args: &'a [Value],
    next: usize,
    reordered: bool,
}

/// Go takes no width, precision or index beyond this.
const NUMBER_MAX: i64 = 1_000_000;

impl Printf<'_> {
    fn run(&mut self, out: &mut Out) {
        while let Some(percent) = self.rest.find('%') {
            out.push_str(self.rest.get(..percent).unwrap_or(""));
            self.rest = self.rest.get(percent + 1..).unwrap_or("");
            self.directive(out);
            if out.overflowed {
                return;
            }
        }
        out.push_str(self.rest);
        if !self.reordered && self.next < self.args.len() {
            self.extra(out);
        }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or("");
        Some(c)
    }

    fn directive(&mut self, out: &mut Out) {
        let mut spec = Spec::new('v');
        let mut good = true;
        while let Some(flag) = self.rest.chars().next() {
            match flag {
                '#' => spec.sharp = true,
                '0' => spec.zero = true,
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                ' ' => spec.space = true,
                _ => break,
            }
            self.take();
        }
        let mut indexed = self.index(&mut good);
        self.width(&mut spec, out, indexed, &mut good);
        // A point at the very end is the verb.
        if self.rest.len() > 1 && self.rest.starts_with('.') {
            self.take();
            if indexed && spec.width.is_some() {
                good = false;
            }
            indexed = self.index(&mut good);
            self.precision(&mut spec, out, indexed, &mut good);
        }
        if !indexed {
            self.index(&mut good);
        }
        let Some(verb) = self.take() else {
            out.push_str("%!(NOVERB)");
            return;
        };
        spec.verb = verb;
        if verb == '%' {
            out.push('%');
        } else if !good {
            out.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(arg) = self.args.get(self.next) {
            self.next += 1;
            if verb == 'v' {
                spec.sharp_v = std::mem::take(&mut spec.sharp);
                spec.plus_v = std::mem::take(&mut spec.plus);
            }
            print_argument(out, arg, &spec);
        } else {
            out.push_str(&format!("%!{verb}(MISSING)"));
        }
    }

    fn width(&mut self, spec: &mut Spec, out: &mut Out, indexed: bool, good: &mut bool) {
        if self.rest.starts_with('*') {
            self.take();
            match self.int_argument() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.width = usize::try_from(width.abs()).ok();
                }
                None => out.push_str("%!(BADWIDTH)"),
            }
            return;
        }
        spec.width = self.number();
        if indexed && spec.width.is_some() {
            // "%[3]2d"
            *good = false;
        }
    }

    fn precision(&mut self, spec: &mut Spec, out: &mut Out, indexed: bool, good: &mut bool) {
        if self.rest.starts_with('*') {
            self.take();
            match self.int_argument() {
                Some(precision) => spec.precision = usize::try_from(precision).ok(),
                None => out.push_str("%!(BADPREC)"),
            }
            return;
        }
        let precision = self.number();
        if indexed && precision.is_some() {
            *good = false;
        }
        spec.precision = Some(precision.unwrap_or(0));
    }

    fn int_argument(&mut self) -> Option<i64> {
        let arg = self.args.get(self.next)?;
        self.next += 1;
        match arg {
            Value::Int(value, _) if value.abs() <= NUMBER_MAX => Some(*value),
            _ => None,
        }
    }

    /// Digits at this place; too many are skipped without effect, and nothing behind them is a verb.
    fn number(&mut self) -> Option<usize> {
        let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let text = self.rest.get(..digits).unwrap_or("");
        if text.is_empty() {
            return None;
        }
        match text.parse::<usize>() {
            Ok(number) if number as i64 <= NUMBER_MAX => {
                self.rest = self.rest.get(digits..).unwrap_or("");
                Some(number)
            }
            _ => {
                self.rest = "";
                None
            }
        }
    }

    /// `[3]`: which argument comes next.
    fn index(&mut self, good: &mut bool) -> bool {
        let Some(inner) = self.rest.strip_prefix('[') else {
            return false;
        };
        self.reordered = true;
        let Some((digits, rest)) = inner.split_once(']') else {
            self.rest = inner;
            *good = false;
            return false;
        };
        self.rest = rest;
        match digits.parse::<usize>() {
            Ok(number) if number >= 1 && number <= self.args.len() => {
                self.next = number - 1;
                true
            }
            _ => {
                *good = false;
                true
            }
        }
    }

    fn extra(&self, out: &mut Out) {
        out.push_str("%!(EXTRA ");
        for (i, arg) in self.args.iter().skip(self.next).enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            if arg.is_nil() {
                out.push_str("<nil>");
            } else {
                out.push_str(arg.type_name());
                out.push('=');
                print_argument(out, arg, &Spec::new('v'));
            }
        }
        out.push(')');
    }
}

fn print_argument(out: &mut Out, value: &Value, spec: &Spec) {
    match spec.verb {
        'T' if !value.is_nil() => drop(verbs::text(out, value.type_name(), &spec.with_verb('s'))),
        'T' | 'v' if value.is_nil() => verbs::padded(out, "<nil>", spec),
        _ if value.is_nil() => out.push_str(&format!("%!{}(<nil>)", spec.verb)),
        _ => print(out, value, spec, false),
    }
}

fn bad_verb(out: &mut Out, value: &Value, spec: &Spec) {
    out.push_str(&format!("%!{}({}=", spec.verb, value.type_name()));
    print(out, value, &spec.with_verb('v'), true);
    out.push(')');
}

/// `erroring`: inside a complaint, where the values' own text methods are not asked.
fn print(out: &mut Out, value: &Value, spec: &Spec, erroring: bool) {
    if out.overflowed {
        return;
    }
    if !erroring && print_own_text(out, value, spec) {
        return;
    }
    let printed = match value {
        Value::Nil | Value::NilAny => {
            out.push_str(if spec.sharp_v { "interface {}(nil)" } else { "<nil>" });
            true
        }
        Value::Bool(value) => verbs::boolean(out, *value, spec),
        Value::Int(value, kind) => verbs::integer(out, *value, *kind, spec),
        Value::Float(value) => floats::float(out, *value, spec),
        Value::Complex(real, imaginary) => floats::complex(out, *real, *imaginary, spec),
        Value::Text(text) | Value::Marked(_, text) => verbs::text(out, text, spec),
        _ => {
            print_composite(out, value, spec, erroring);
            true
        }
    };
    if !printed {
        bad_verb(out, value, spec);
    }
}

/// The `String` and `GoString` methods.
fn print_own_text(out: &mut Out, value: &Value, spec: &Spec) -> bool {
    if spec.sharp_v {
        if let Value::Time(moment) = value {
            out.push_str(&moment.go_text());
            return true;
        }
        return false;
    }
    if !matches!(spec.verb, 'v' | 's' | 'x' | 'X' | 'q') {
        return false;
    }
    match own_text(value) {
        Some(text) => verbs::text(out, &text, spec),
        None => false,
    }
}

fn print_composite(out: &mut Out, value: &Value, spec: &Spec, erroring: bool) {
    match value {
        Value::List(list) => {
            let (open, close) = if spec.sharp_v { ("{", "}") } else { ("[", "]") };
            if spec.sharp_v {
                out.push_str(list.kind.name());
            }
            out.push_str(open);
            for (i, item) in list.items.iter().enumerate() {
                separate(out, i, spec);
                print(out, item, spec, erroring);
            }
            out.push_str(close);
        }
        Value::Map(map) => {
            let entries = map.entries.iter().map(|(key, value)| (&**key, value.clone()));
            print_map(out, value, entries, spec, erroring);
        }
        Value::Kv(labels) => {
            let entries = labels.iter().map(|(name, text)| (name, Value::text(text)));
            print_map(out, value, entries, spec, erroring);
        }
        Value::Pair(name, text) => {
            let fields = [("Name", Value::Text(name.clone())), ("Value", Value::Text(text.clone()))];
            print_struct(out, value, &fields, spec, erroring);
        }
        Value::Alert(alert) => print_struct(out, value, &alert.fields(), spec, erroring),
        Value::Data(data) => print_struct(out, value, &data.fields(), spec, erroring),
        // Go would show the insides of these.
        other => out.push_str(&own_text(other).unwrap_or_default()),
    }
}

fn separate(out: &mut Out, i: usize, spec: &Spec) {
    if i > 0 {
        out.push_str(if spec.sharp_v { ", " } else { " " });
    }
}

fn print_map<'a>(
    out: &mut Out,
    whole: &Value,
    entries: impl Iterator<Item = (&'a str, Value)>,
    spec: &Spec,
    erroring: bool,
) {
    if spec.sharp_v {
        out.push_str(whole.type_name());
        out.push('{');
    } else {
        out.push_str("map[");
    }
    for (i, (key, value)) in entries.enumerate() {
        separate(out, i, spec);
        print(out, &Value::text(key), spec, erroring);
        out.push(':');
        print(out, &value, spec, erroring);
    }
    out.push(if spec.sharp_v { '}' } else { ']' });
}

fn print_struct(out: &mut Out, whole: &Value, fields: &[(&str, Value)], spec: &Spec, erroring: bool) {
    if spec.sharp_v {
        out.push_str(whole.type_name());
    }
    out.push('{');
    for (i, (name, value)) in fields.iter().enumerate() {
        separate(out, i, spec);
        if spec.plus_v || spec.sharp_v {
            out.push_str(name);
            out.push(':');
        }
        print(out, value, spec, erroring);
    }
    out.push('}');
}

/// The pairs of a set as values, in reading order.
pub fn pair_values(labels: &Labels) -> Value {
    let pairs = sorted_pairs(labels).map(|(name, value)| Value::Pair(name.into(), value.into())).collect();
    Value::flat_list(ListKind::Pairs, pairs)
}
