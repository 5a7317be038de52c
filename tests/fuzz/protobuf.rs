//! Writes the records of Alertmanager's protobuf (reference/cluster.md 4) with values of any kind, right and wrong.

use crate::{regexes, rng::Rng};

/// A message being written.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn number(&mut self, tag: u64, value: u64) {
        self.varint(tag << 3);
        self.varint(value);
    }

    pub fn fixed(&mut self, tag: u64, value: u64) {
        self.varint(tag << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn bytes(&mut self, tag: u64, bytes: &[u8]) {
        self.varint(tag << 3 | 2);
        self.delimited(bytes);
    }

    pub fn delimited(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

/// Makes records out of random numbers.
pub struct Records<'r>(pub &'r mut Rng);

impl Records<'_> {
    /// Records as they stand in a snapshot file.
    pub fn file(&mut self, one: fn(&mut Self) -> Message) -> Vec<u8> {
        let mut out = Message::default();
        for _ in 0..self.0.between(1, 4) {
            let record = one(self);
            out.delimited(&record.0);
        }
        out.0
    }

    fn is_there(&mut self) -> bool {
        !self.0.one_in(8)
    }

    fn any_number(&mut self) -> u64 {
        self.0.number() as u64
    }

    fn text(&mut self) -> Vec<u8> {
        if self.0.one_in(30) {
            return b"not \xff UTF-8 \xc3".to_vec();
        }
        self.0
            .pick(&[
                "",
                "a",
                "alertname",
                "team-a",
                "é🙂",
                "a\nb",
                "x y",
                "{}:{a=\"b\"}",
                "2",
                "f1a2b3c4-0000-4000-8000-123456789abc",
            ])
            .as_bytes()
            .to_vec()
    }

    fn timestamp(&mut self, out: &mut Message, tag: u64) {
        if !self.is_there() {
            return;
        }
        let mut at = Message::default();
        let seconds = match self.0.below(3) {
            0 => self.0.number(),
            // Years around today, and far ahead: alive.
            1 => 1_700_000_000 + self.0.below(200_000_000) as i64,
            _ => 4_000_000_000 + self.0.below(1_000_000) as i64,
        };
        at.number(1, seconds as u64);
        if self.0.one_in(2) {
            let nanos = if self.0.one_in(4) { self.0.number() } else { self.0.below(1_000_000_000) as i64 };
            at.number(2, nanos as u64);
        }
        out.bytes(tag, &at.0);
    }

    fn matcher(&mut self) -> Message {
        let mut out = Message::default();
        let op = if self.0.one_in(10) { self.any_number() } else { self.0.below(4) as u64 };
        out.number(1, op);
        out.bytes(2, &self.text());
        let pattern = if self.0.one_in(2) { regexes::grammar(self.0).into_bytes() } else { self.text() };
        out.bytes(3, &pattern);
        out
    }

    fn matcher_set(&mut self) -> Message {
        let mut out = Message::default();
        for _ in 0..self.0.below(4) {
            let matcher = self.matcher();
            out.bytes(1, &matcher.0);
        }
        out
    }

    pub fn silence(&mut self) -> Message {
        let mut silence = Message::default();
        if self.is_there() {
            let id = if self.0.one_in(3) {
                self.text()
            } else {
                format!("f1a2b3c4-0000-4000-8000-{:012x}", self.0.below(20)).into_bytes()
            };
            silence.bytes(1, &id);
        }
        for _ in 0..self.0.below(3) {
            let matcher = self.matcher();
            silence.bytes(2, &matcher.0);
        }
        for tag in 3..=5 {
            self.timestamp(&mut silence, tag);
        }
        if self.0.one_in(6) {
            let mut comment = Message::default();
            comment.bytes(1, &self.text());
            comment.bytes(2, &self.text());
            self.timestamp(&mut comment, 3);
            silence.bytes(7, &comment.0);
        }
        silence.bytes(8, &self.text());
        silence.bytes(9, &self.text());
        if self.0.one_in(3) {
            let mut pair = Message::default();
            pair.bytes(1, &self.text());
            pair.bytes(2, &self.text());
            silence.bytes(10, &pair.0);
        }
        for _ in 0..self.0.below(3) {
            let set = self.matcher_set();
            silence.bytes(self.0.pick(&[&11, &11, &12]).to_owned(), &set.0);
        }
        self.meshed(&silence)
    }

    fn meshed(&mut self, inner: &Message) -> Message {
        let mut out = Message::default();
        if !self.0.one_in(20) {
            out.bytes(1, &inner.0);
        }
        self.timestamp(&mut out, 2);
        out
    }

    pub fn log_entry(&mut self) -> Message {
        let mut entry = Message::default();
        entry.bytes(1, &self.text());
        if self.is_there() {
            let mut receiver = Message::default();
            receiver.bytes(1, &self.text());
            receiver.bytes(2, &self.text());
            receiver.number(3, self.any_number());
            entry.bytes(2, &receiver.0);
        }
        self.timestamp(&mut entry, 5);
        for tag in [6, 7] {
            let mut packed = Message::default();
            for _ in 0..self.0.below(3) {
                let hash = self.hash();
                packed.varint(hash);
            }
            entry.bytes(tag, &packed.0);
        }
        if self.0.one_in(3) {
            let mut pair = Message::default();
            pair.bytes(1, &self.text());
            let mut data = Message::default();
            match self.0.below(4) {
                0 => data.bytes(1, &self.text()),
                1 => data.number(2, self.any_number()),
                2 => data.fixed(3, self.any_number()),
                _ => {}
            }
            pair.bytes(2, &data.0);
            entry.bytes(8, &pair.0);
        }
        if self.0.one_in(2) {
            self.our_fields(&mut entry);
        }
        self.meshed(&entry)
    }

    /// Few different ones, so that entries speak of the same alerts.
    fn hash(&mut self) -> u64 {
        if self.0.one_in(6) { self.any_number() } else { self.0.below(5) as u64 }
    }

    fn our_fields(&mut self, entry: &mut Message) {
        entry.number(1001, self.any_number());
        self.timestamp(entry, 1002);
        for _ in 0..self.0.below(4) {
            let mut told = Message::default();
            let hash = self.hash();
            told.fixed(1, hash);
            for tag in [2, 3] {
                if self.0.one_in(2) {
                    let word = self.word();
                    told.bytes(tag, &word.0);
                }
            }
            if self.0.one_in(4) {
                let mut known = Message::default();
                known.number(1, self.any_number());
                known.number(2, self.0.below(2) as u64);
                self.timestamp(&mut known, 3);
                told.bytes(4, &known.0);
            }
            entry.bytes(1003, &told.0);
        }
        self.timestamp(entry, 1004);
    }

    fn word(&mut self) -> Message {
        let mut word = Message::default();
        let period = if self.0.one_in(3) { self.any_number() } else { self.0.below(4) as u64 };
        word.number(1, period);
        for tag in [2, 3, 5] {
            if self.is_there() {
                let at = if self.0.one_in(3) {
                    self.0.number()
                } else {
                    1_700_000_000_000_000_000 + self.0.below(5_000_000_000) as i64
                };
                word.fixed(tag, at as u64);
            }
        }
        let writer = self.0.below(3) as u64;
        word.fixed(4, writer);
        word.number(6, self.0.below(2) as u64);
        self.timestamp(&mut word, 7);
        word
    }

    /// The record of an alert, in the schema of our own.
    pub fn alert(&mut self) -> Message {
        let mut out = Message::default();
        for tag in [1, 1, 2] {
            for _ in 0..self.0.below(3) {
                out.bytes(tag, &self.text());
                if self.is_there() {
                    out.bytes(tag, &self.text());
                }
            }
        }
        out.bytes(3, &self.text());
        for tag in [4, 5, 6, 9] {
            self.timestamp(&mut out, tag);
        }
        out.number(7, self.0.below(2) as u64);
        let period = if self.0.one_in(2) { self.0.below(4) as u64 } else { self.any_number() };
        out.number(8, period);
        out.number(10, self.0.below(2) as u64);
        out
    }
}
