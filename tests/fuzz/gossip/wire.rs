//! Messages between nodes as a stranger would make them: by the grammar, with all the wrong values.

use crate::rng::Rng;

const NAMES: [&str; 7] =
    ["a", "b", "c", "d", "", "ümlaut", "a name that is as long as a name may be, and then a bit longer than that"];
/// Where the nodes are, and where nobody is.
const HOSTS: [[u8; 4]; 6] = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3], [10, 0, 0, 66], [0, 0, 0, 0], [127, 0, 0, 1]];

/// Kinds of messages by number, with one that there is not.
pub const KINDS: [u8; 17] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 200];

/// Writes a message.
pub struct Writer<'a> {
    pub rng: &'a mut Rng,
    /// Processes that exist.
    pub instances: &'a [u64],
    pub out: Vec<u8>,
}

impl Writer<'_> {
    pub fn number(&mut self, number: u64) {
        match number {
            0..=250 => self.out.push(number as u8),
            251..=0xFFFF => {
                self.out.push(251);
                self.out.extend_from_slice(&(number as u16).to_le_bytes());
            }
            0x1_0000..=0xFFFF_FFFF => {
                self.out.push(252);
                self.out.extend_from_slice(&(number as u32).to_le_bytes());
            }
            _ => {
                self.out.push(253);
                self.out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }

    fn any(&mut self) {
        let number = self.rng.number() as u64;
        self.number(number);
    }

    fn signed(&mut self) {
        let number = self.rng.number();
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    fn length(&mut self, length: usize) {
        // A lie now and then.
        let length = if self.rng.one_in(40) { self.rng.number() as u64 } else { length as u64 };
        self.number(length);
    }

    fn blob(&mut self, longest: usize) {
        let longest = if self.rng.one_in(30) { 20 * longest } else { longest };
        let length = self.rng.below(longest);
        self.length(length);
        for _ in 0..length {
            let byte = self.rng.next() as u8;
            // Small numbers get further: they are tags and lengths.
            self.out.push(if byte & 1 == 0 { byte % 12 } else { byte });
        }
    }

    fn name(&mut self) {
        let name = self.rng.pick(&NAMES);
        self.length(name.len());
        self.out.extend_from_slice(name.as_bytes());
    }

    fn instance(&mut self) {
        let known = self.instances.len();
        let instance =
            if known > 0 && !self.rng.one_in(4) { self.instances[self.rng.below(known)] } else { self.rng.next() };
        self.number(instance);
    }

    fn address(&mut self) {
        if self.rng.one_in(8) {
            self.number(1);
            let host = self.rng.next().to_le_bytes();
            self.out.extend_from_slice(&[host, host].concat());
        } else {
            self.number(0);
            let host = HOSTS[self.rng.below(HOSTS.len())];
            self.out.extend_from_slice(&host);
        }
        let port = if self.rng.one_in(4) { self.rng.next() as u16 } else { 9094 };
        self.number(u64::from(port));
    }

    fn identity(&mut self) {
        self.name();
        self.address();
        self.any();
    }

    fn kind(&mut self) {
        let kind = self.rng.below(12) as u8;
        self.out.push(kind);
    }

    fn list(&mut self, longest: usize, mut item: impl FnMut(&mut Self)) {
        let length = self.rng.below(longest);
        self.length(length);
        (0..length).for_each(|_| item(self));
    }

    fn member(&mut self) {
        self.identity();
        self.any();
        let state = self.rng.below(6) as u64;
        self.number(state);
    }

    fn delta(&mut self) {
        self.instance();
        self.any();
        self.kind();
        self.any();
        self.any();
        self.blob(60);
    }

    fn digest(&mut self) {
        self.any();
        let buckets = [0, 1, 2, 3, 16, 64, 4096][self.rng.below(7)];
        self.length(buckets);
        for _ in 0..buckets {
            self.any();
        }
    }

    fn boolean(&mut self) {
        let truth = self.rng.below(20);
        self.out.push(if truth == 19 { 7 } else { (truth % 2) as u8 });
    }

    /// A message of this kind, complete or nearly.
    pub fn message(&mut self, kind: u8) {
        self.out.push(kind);
        match kind {
            1 => self.swim(),
            3 | 5 => {
                self.name();
                self.any();
                self.blob(80);
            }
            4 => {
                self.name();
                self.any();
                self.boolean();
                self.blob(80);
            }
            6 => {
                self.name();
                self.instance();
                self.any();
                self.list(20, Self::any);
            }
            7 => {
                self.instance();
                self.any();
                self.list(6, Self::delta);
            }
            8 => {
                self.name();
                self.any();
                self.list(5, |it| {
                    it.kind();
                    it.any();
                    it.any();
                });
                self.any();
            }
            9 => {
                self.name();
                self.any();
                self.signed();
                self.boolean();
                self.any();
            }
            10 | 16 => self.identity(),
            11 => {
                let purpose = self.rng.below(5) as u64;
                self.hello(purpose);
            }
            12 => {
                let reason = self.rng.below(4) as u64;
                self.number(reason);
                self.address();
            }
            13 => self.list(4, |it| {
                it.kind();
                it.digest();
            }),
            14 => {
                self.kind();
                self.list(8, |it| it.blob(80));
            }
            15 => {
                self.name();
                self.instance();
                self.any();
            }
            _ => self.blob(40),
        }
    }

    pub fn hello(&mut self, purpose: u64) {
        self.number(purpose);
        self.identity();
        self.instance();
        self.any();
        self.signed();
        self.name();
        self.list(5, Self::kind);
        self.any();
        self.list(8, Self::member);
        self.any();
    }

    /// A packet of the membership protocol: who, how often accused, to whom, what, and news of others.
    fn swim(&mut self) {
        self.identity();
        self.any();
        self.identity();
        let message = self.rng.below(14) as u64;
        self.number(message);
        if self.rng.one_in(2) {
            self.identity();
        }
        let news = self.rng.below(4);
        self.out.extend_from_slice(&(news as u16).to_be_bytes());
        (0..news).for_each(|_| self.member());
        self.blob(60);
    }
}
