//! Tokens to trees. What Go refuses when it parses is refused here, with the same message.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    TemplateError,
    ast::{Branch, Command, Node, Number, Operand, OperandKind, Pipe, Pos, Tree, quoted},
    lex::{self, Kind, Token},
    limits, numbers,
};

/// What one text defines: its own body under its own name, and every `define` and `block`.
pub type Trees = BTreeMap<Arc<str>, Arc<Tree>>;

/// Parses `source`, named `name`; `known` tells which functions exist.
pub fn parse(name: &str, source: &str, known: &dyn Fn(&str) -> bool) -> Result<Trees, TemplateError> {
    let tokens = lex::tokens(source);
    let mut parser = Parser {
        tokens,
        next: 0,
        furthest: 0,
        name: Arc::from(name),
        source: Arc::from(source),
        known,
        variables: vec![Arc::from("$")],
        range_depth: 0,
        nesting: 0,
        action_line: None,
        trees: Trees::new(),
    };
    parser.whole()?;
    Ok(parser.trees)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    next: usize,
    /// The last token looked at: its line is the line of an error.
    furthest: usize,
    name: Arc<str>,
    source: Arc<str>,
    known: &'a dyn Fn(&str) -> bool,
    variables: Vec<Arc<str>>,
    range_depth: usize,
    nesting: usize,
    action_line: Option<usize>,
    trees: Trees,
}

/// How a list of nodes ended.
enum End {
    End,
    Else,
}

impl End {
    fn text(&self) -> &'static str {
        match self {
            End::End => "{{end}}",
            End::Else => "{{else}}",
        }
    }
}

enum Item {
    Node(Node),
    End(End),
}

type Parsed<T> = Result<T, TemplateError>;

impl Parser<'_> {
    // Tokens.

    #[allow(clippy::indexing_slicing, reason = "there is always at least the closing token")]
    fn look(&mut self) -> &Token {
        // The last token is Eof or Error and stays the answer for ever.
        let at = self.next.min(self.tokens.len().saturating_sub(1));
        self.furthest = self.furthest.max(at);
        &self.tokens[at]
    }

    fn take(&mut self) -> Token {
        let token = self.look().clone();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.look().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn take_non_space(&mut self) -> Token {
        self.skip_space();
        self.take()
    }

    fn look_non_space(&mut self) -> &Token {
        self.skip_space();
        self.look()
    }

    fn error<T>(&self, message: impl AsRef<str>) -> Parsed<T> {
        let line = self.tokens.get(self.furthest).map_or(1, |token| token.line);
        Err(TemplateError::new(format!("template: {}:{line}: {}", self.name, message.as_ref())))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", describe(token)));
        }
        let place = match self.action_line {
            Some(line) if line != token.line => {
                let short = if token.text.ends_with(" action") { " started at" } else { " in action started at" };
                format!("{short} {}:{line}", self.name)
            }
            _ => String::new(),
        };
        self.error(format!("{}{place}", token.text))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.take_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn enter(&mut self) -> Parsed<()> {
        self.nesting += 1;
        if self.nesting > limits::NESTING_MAX {
            return self.error(format!("nested deeper than {} levels", limits::NESTING_MAX));
        }
        Ok(())
    }

    // Lists of nodes.

    fn whole(&mut self) -> Parsed<()> {
        let mut root = Vec::new();
        while self.look().kind != Kind::Eof {
            if self.look().kind == Kind::LeftDelim {
                let delim = self.next;
                self.next += 1;
                let first = self.take_non_space();
                if first.kind == Kind::Keyword && first.text == "define" {
                    self.definition()?;
                    continue;
                }
                self.next = delim;
            }
            match self.text_or_action()? {
                Item::Node(node) => root.push(node),
                Item::End(end) => return self.error(format!("unexpected {}", end.text())),
            }
        }
        self.define(Arc::clone(&self.name), root)
    }

    fn define(&mut self, name: Arc<str>, root: Vec<Node>) -> Parsed<()> {
        let tree = Tree {
            name: Arc::clone(&name),
            parse_name: Arc::clone(&self.name),
            source: Arc::clone(&self.source),
            root,
        };
        match self.trees.get(&name) {
            Some(old) if !old.is_empty() => {
                if !tree.is_empty() {
                    return self.error(format!("template: multiple definition of template {}", quoted(&name)));
                }
            }
            _ => drop(self.trees.insert(name, Arc::new(tree))),
        }
        Ok(())
    }

    /// A body with variables of its own: `define` and `block`.
    fn separate_body(&mut self, context: &str) -> Parsed<Vec<Node>> {
        self.enter()?;
        let variables = std::mem::replace(&mut self.variables, vec![Arc::from("$")]);
        let range_depth = std::mem::take(&mut self.range_depth);
        let (body, end) = self.list()?;
        if !matches!(end, End::End) {
            return self.error(format!("unexpected {} in {context}", end.text()));
        }
        self.variables = variables;
        self.range_depth = range_depth;
        self.nesting -= 1;
        Ok(body)
    }

    fn definition(&mut self) -> Parsed<()> {
        let token = self.take_non_space();
        let name = self.template_name(&token, "define clause")?;
        self.expect(Kind::RightDelim, "define clause")?;
        let body = self.separate_body("define clause")?;
        self.define(name, body)
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Parsed<Arc<str>> {
        match token.kind {
            Kind::Quoted | Kind::RawQuoted => self.unquote(token),
            _ => self.unexpected(token, context),
        }
    }

    fn unquote(&self, token: &Token) -> Parsed<Arc<str>> {
        match numbers::unquote(&token.text) {
            Some(text) => Ok(Arc::from(text)),
            None => self.error("invalid syntax"),
        }
    }

    fn list(&mut self) -> Parsed<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        while self.look_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::End(end) => return Ok((nodes, end)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.take_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text { text: Arc::from(token.text) })),
            Kind::LeftDelim => {
                self.action_line = Some(token.line);
                let item = self.action();
                self.action_line = None;
                item
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.take_non_space();
        if token.kind != Kind::Keyword {
            self.next -= 1;
            let pipe = self.pipeline("command", Kind::RightDelim)?;
            return Ok(Item::Node(Node::Action(pipe)));
        }
        let node = match token.text.as_str() {
            "end" => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Item::End(End::End));
            }
            "else" => return self.else_control().map(Item::End),
            "if" => Node::If(self.control("if")?),
            "with" => Node::With(self.control("with")?),
            "range" => Node::Range(self.control("range")?),
            "template" => self.template_control()?,
            "block" => self.block_control()?,
            "break" => Node::Break(self.loop_control(&token, "{{break}}")?),
            "continue" => Node::Continue(self.loop_control(&token, "{{continue}}")?),
            // `define` is met at the top of a text only.
            _ => return self.unexpected(&token, "command"),
        };
        Ok(Item::Node(node))
    }

    fn else_control(&mut self) -> Parsed<End> {
        let token = self.look_non_space();
        // Left for the enclosing `if` or `with`, which takes "else if" for an `if` inside its `else`.
        let chained = token.kind == Kind::Keyword && matches!(token.text.as_str(), "if" | "with");
        if !chained {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(End::Else)
    }

    fn control(&mut self, context: &'static str) -> Parsed<Branch> {
        self.enter()?;
        let variables = self.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let is_range = usize::from(context == "range");
        self.range_depth += is_range;
        let (body, end) = self.list()?;
        self.range_depth -= is_range;
        let otherwise = match end {
            End::End => None,
            End::Else => Some(self.otherwise(context)?),
        };
        self.variables.truncate(variables);
        self.nesting -= 1;
        Ok(Branch { pipe, body, otherwise })
    }

    fn otherwise(&mut self, context: &'static str) -> Parsed<Vec<Node>> {
        let token = self.look();
        if token.kind == Kind::Keyword && token.text == context && context != "range" {
            self.next += 1;
            let inner = self.control(context)?;
            // The one `end` closes both.
            return Ok(vec![if context == "if" { Node::If(inner) } else { Node::With(inner) }]);
        }
        let (nodes, end) = self.list()?;
        match end {
            End::End => Ok(nodes),
            End::Else => self.error(format!("expected end; found {}", end.text())),
        }
    }

    fn loop_control(&mut self, token: &Token, what: &str) -> Parsed<Pos> {
        let next = self.take_non_space();
        if next.kind != Kind::RightDelim {
            return self.unexpected(&next, what);
        }
        if self.range_depth == 0 {
            return self.error(format!("{what} outside {{{{range}}}}"));
        }
        Ok(token.pos)
    }

    fn template_control(&mut self) -> Parsed<Node> {
        let token = self.take_non_space();
        let name = self.template_name(&token, "template clause")?;
        let pipe = if self.look_non_space().kind == Kind::RightDelim {
            self.next += 1;
            None
        } else {
            Some(self.pipeline("template clause", Kind::RightDelim)?)
        };
        Ok(Node::Template { pos: token.pos, name, pipe })
    }

    fn block_control(&mut self) -> Parsed<Node> {
        let token = self.take_non_space();
        let name = self.template_name(&token, "block clause")?;
        let pipe = self.pipeline("block clause", Kind::RightDelim)?;
        let body = self.separate_body("block clause")?;
        self.define(Arc::clone(&name), body)?;
        Ok(Node::Template { pos: token.pos, name, pipe: Some(pipe) })
    }

    // Pipelines.

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        self.enter()?;
        let pos = self.look_non_space().pos;
        let mut pipe = Pipe { pos, assign: false, declared: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.take_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawQuoted
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    self.next -= 1;
                    pipe.commands.push(self.command()?);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        self.nesting -= 1;
        self.check_pipeline(&pipe, context)?;
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.look_non_space().kind == Kind::Variable {
            let before = self.next;
            let variable: Arc<str> = Arc::from(self.take().text);
            let next = self.look_non_space();
            let (kind, comma) = (next.kind, next.kind == Kind::Char && next.text == ",");
            if !comma && !matches!(kind, Kind::Assign | Kind::Declare) {
                // An argument after all.
                self.next = before;
                return Ok(());
            }
            self.next += 1;
            pipe.declared.push(Arc::clone(&variable));
            self.variables.push(variable);
            if !comma {
                pipe.assign = kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipe.declared.len() >= 2 {
                return self.error(format!("too many declarations in {context}"));
            }
            if !matches!(self.look_non_space().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                return self.error("range can only initialize variables");
            }
        }
        Ok(())
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            let fixed = matches!(
                command.args.first().map(|first| &first.kind),
                Some(
                    OperandKind::Bool(_)
                        | OperandKind::Dot
                        | OperandKind::Nil
                        | OperandKind::Number(_)
                        | OperandKind::Text { .. }
                )
            );
            if fixed {
                return self.error(format!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut command = Command { pos: self.look_non_space().pos, args: Vec::new() };
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.next -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.args.is_empty() {
            return self.error("empty command");
        }
        Ok(command)
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(operand) = self.term()? else {
            return Ok(None);
        };
        if self.look().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let pos = self.look().pos;
        let mut names = Vec::new();
        while self.look().kind == Kind::Field {
            names.push(field_name(&self.take().text));
        }
        let kind = match operand.kind {
            OperandKind::Field(mut first) => {
                first.append(&mut names);
                OperandKind::Field(first)
            }
            OperandKind::Variable(mut first) => {
                first.append(&mut names);
                OperandKind::Variable(first)
            }
            OperandKind::Bool(_)
            | OperandKind::Text { .. }
            | OperandKind::Number(_)
            | OperandKind::Nil
            | OperandKind::Dot => {
                return self.error(format!("unexpected . after term {}", quoted(&operand.to_string())));
            }
            kind => OperandKind::Chain(Box::new(Operand { pos: operand.pos, kind }), names),
        };
        Ok(Some(Operand { pos, kind }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.take_non_space();
        let kind = match token.kind {
            Kind::Identifier => {
                if !(self.known)(&token.text) {
                    return self.error(format!("function {} not defined", quoted(&token.text)));
                }
                OperandKind::Function(Arc::from(token.text.as_str()))
            }
            Kind::Dot => OperandKind::Dot,
            Kind::Nil => OperandKind::Nil,
            Kind::Bool => OperandKind::Bool(token.text == "true"),
            Kind::Variable => {
                let name: Arc<str> = Arc::from(token.text.as_str());
                if !self.variables.contains(&name) {
                    return self.error(format!("undefined variable {}", quoted(&name)));
                }
                OperandKind::Variable(vec![name])
            }
            Kind::Field => OperandKind::Field(vec![field_name(&token.text)]),
            Kind::CharConstant | Kind::Complex | Kind::Number => OperandKind::Number(self.number(&token)?),
            Kind::LeftParen => OperandKind::Pipe(Box::new(self.pipeline("parenthesized pipeline", Kind::RightParen)?)),
            Kind::Quoted | Kind::RawQuoted => {
                OperandKind::Text { text: self.unquote(&token)?, quoted: Arc::from(token.text.as_str()) }
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { pos: token.pos, kind }))
    }

    fn number(&self, token: &Token) -> Parsed<Number> {
        numbers::constant(&token.text, token.kind == Kind::CharConstant).or_else(|message| self.error(message))
    }
}

fn field_name(token: &str) -> Arc<str> {
    Arc::from(token.strip_prefix('.').unwrap_or(token))
}

/// A token in a message: words in angle brackets, the rest quoted and cut.
fn describe(token: &Token) -> String {
    match token.kind {
        Kind::Eof => "EOF".to_owned(),
        Kind::Error => token.text.clone(),
        Kind::Keyword | Kind::Nil => format!("<{}>", token.text),
        Kind::Dot => "<.>".to_owned(),
        _ if token.text.chars().count() > 10 => {
            let start: String = token.text.chars().take(10).collect();
            format!("{}...", quoted(&start))
        }
        _ => quoted(&token.text),
    }
}
