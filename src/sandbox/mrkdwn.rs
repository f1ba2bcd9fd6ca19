//! Slack's text format: what it escapes when a person types, what would harm people when a bot
//! sends it, and how it reads in a terminal.

use super::state::State;

const BROADCASTS: [&str; 3] = ["!here", "!channel", "!everyone"];

/// A piece of mrkdwn.
enum Piece<'t> {
    /// Between entities, still escaped.
    Words(&'t str),
    /// What stands between `<` and `>`.
    Entity(&'t str),
}

/// What must not be in a text that reaches people: broadcasts, and characters that nobody escaped.
pub(super) fn risks(text: &str, allow_broadcasts: bool) -> Vec<String> {
    let mut found = Vec::new();
    for piece in pieces(text) {
        match piece {
            Piece::Entity(inside) => {
                let target = inside.split('|').next().unwrap_or_default();
                if BROADCASTS.contains(&target) && !allow_broadcasts {
                    found.push(format!("<{target}> would notify everybody"));
                }
            }
            Piece::Words(words) => {
                for (at, letter) in words.char_indices() {
                    let rest = &words[at..];
                    let is_entity = ["&amp;", "&lt;", "&gt;"].iter().any(|e| rest.starts_with(e));
                    // A `>` at the start of a line is a quotation.
                    if letter == '<' || (letter == '&' && !is_entity) {
                        let near: String = rest.chars().take(20).collect();
                        found.push(format!("unescaped {letter} before {near:?}"));
                    }
                }
            }
        }
    }
    found
}

/// Cuts a text into words and entities; a `<` that opens no entity stays among the words.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut words_from = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('<') {
        let open = at + found;
        let inside = text[open + 1..].split(['>', '<', '\n']).next().unwrap_or_default();
        let close = open + 1 + inside.len();
        if text[close..].starts_with('>') && is_entity(inside) {
            if words_from < open {
                pieces.push(Piece::Words(&text[words_from..open]));
            }
            pieces.push(Piece::Entity(inside));
            words_from = close + 1;
            at = close + 1;
        } else {
            at = open + 1;
        }
    }
    if words_from < text.len() {
        pieces.push(Piece::Words(&text[words_from..]));
    }
    pieces
}

fn is_entity(inside: &str) -> bool {
    let target = inside.split('|').next().unwrap_or_default();
    let is_id = |id: &str, first: &[char]| {
        id.len() > 1
            && id.starts_with(first)
            && id.bytes().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit())
    };
    if let Some(id) = target.strip_prefix('@') {
        return is_id(id, &['U', 'W']);
    }
    if let Some(id) = target.strip_prefix('#') {
        return is_id(id, &['C', 'G']);
    }
    BROADCASTS.contains(&target)
        || target.starts_with("!subteam^S")
        || target.starts_with("!date^")
        || ["https://", "http://", "mailto:", "tel:"].iter().any(|start| target.starts_with(start))
}

/// `&`, `<` and `>` as Slack sends them.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// What a person typed, as Slack hands it to a slash command that asked for escaping: known names
/// and addresses become entities, everything else is escaped.
pub(super) fn typed(state: &State, text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let entity = if before.is_ascii_alphanumeric() { None } else { typed_entity(state, rest) };
        let length = if let Some((entity, length)) = entity {
            out.push_str(&entity);
            length
        } else {
            out.push_str(&escape(&rest[..first.len_utf8()]));
            first.len_utf8()
        };
        before = rest[..length].chars().next_back().unwrap_or(' ');
        rest = &rest[length..];
    }
    out
}

/// The entity that a text begins with, and how many bytes of the text it is.
fn typed_entity(state: &State, text: &str) -> Option<(String, usize)> {
    if text.starts_with("https://") || text.starts_with("http://") {
        let url = text.split(char::is_whitespace).next().unwrap_or_default();
        return Some((format!("<{}>", escape(url)), url.len()));
    }
    let options = &state.options;
    let mut names: Vec<(String, String)> = Vec::new();
    if text.starts_with('@') {
        for person in &options.persons {
            let entity = format!("<@{}|{}>", person.id, person.name);
            names.push((format!("@{}", person.name), entity.clone()));
            names.push((format!("@{}", person.real_name), entity));
        }
        for group in &options.groups {
            let name = format!("@{}", group.handle);
            names.push((name.clone(), format!("<!subteam^{}|{name}>", group.id)));
        }
        for broadcast in BROADCASTS {
            names.push((format!("@{}", &broadcast[1..]), format!("<{broadcast}>")));
        }
    } else if text.starts_with('#') {
        for channel in &options.channels {
            // The name of a private channel is left out.
            let shown = if channel.is_private { "" } else { &channel.name };
            names.push((format!("#{}", channel.name), format!("<#{}|{shown}>", channel.id)));
        }
    }
    let is_whole = |name: &String| {
        let after = text[name.len()..].chars().next();
        !after.is_some_and(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
    };
    let found = names.into_iter().filter(|(name, _)| text.starts_with(name) && is_whole(name));
    found.max_by_key(|(name, _)| name.len()).map(|(name, entity)| (entity, name.len()))
}

/// A mrkdwn text as it reads: names for ids, no markup, nothing escaped.
pub(super) fn readable(state: &State, text: &str) -> String {
    let mut out = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Words(words) => out.push_str(&unescape(&without_bold(words))),
            Piece::Entity(inside) => out.push_str(&entity(state, inside)),
        }
    }
    out
}

fn entity(state: &State, inside: &str) -> String {
    let (target, label) = inside.split_once('|').unwrap_or((inside, ""));
    if let Some(id) = target.strip_prefix('@') {
        let name = if id == state.bot.user_id {
            Some(state.bot.name.as_str())
        } else {
            state.person(id).map(|person| person.real_name.as_str())
        };
        return format!("@{}", name.unwrap_or(if label.is_empty() { id } else { label }));
    }
    if let Some(id) = target.strip_prefix('#') {
        let name = state.rooms.get(id).map(|room| room.channel.name.as_str());
        return format!("#{}", name.unwrap_or(if label.is_empty() { id } else { label }));
    }
    if let Some(id) = target.strip_prefix("!subteam^") {
        let group = state.options.groups.iter().find(|group| group.id == id);
        let name = group.map_or(label.trim_start_matches('@'), |group| &group.handle);
        return format!("@{}", if name.is_empty() { id } else { name });
    }
    if let Some(name) = target.strip_prefix('!') {
        return if label.is_empty() { format!("@{name}") } else { unescape(label) };
    }
    let url = unescape(target);
    if label.is_empty() || unescape(label) == url {
        url
    } else {
        format!("{} ({url})", unescape(label))
    }
}

/// `*bold*`, `_slanted_` and `~struck~` without their marks; code keeps its own, inside as it is.
fn without_bold(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for (index, part) in words.split('`').enumerate() {
        if index > 0 {
            out.push('`');
        }
        if index % 2 == 1 {
            out.push_str(part);
            continue;
        }
        let mut rest = part.to_owned();
        for mark in ['*', '_', '~'] {
            rest = without_mark(&rest, mark);
        }
        out.push_str(&rest);
    }
    out
}

/// Drops pairs of a mark that open after a non-letter and close before one, on the same line.
fn without_mark(text: &str, mark: char) -> String {
    let letters: Vec<char> = text.chars().collect();
    let is_word = |at: Option<&char>| at.is_some_and(char::is_ascii_alphanumeric);
    let mut dropped = vec![false; letters.len()];
    let mut open: Option<usize> = None;
    for (at, &letter) in letters.iter().enumerate() {
        if letter == '\n' {
            open = None;
        }
        if letter != mark {
            continue;
        }
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        let after = letters.get(at + 1);
        match open {
            Some(start) if at > start + 1 && !is_word(after) && before != Some(&' ') => {
                dropped[start] = true;
                dropped[at] = true;
                open = None;
            }
            _ if !is_word(before) && after.is_some_and(|next| !next.is_whitespace()) => {
                open = Some(at);
            }
            _ => {}
        }
    }
    let kept = letters.iter().zip(dropped).filter(|(_, dropped)| !dropped);
    kept.map(|(letter, _)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::super::options::Options;
    use super::*;

    fn state() -> State {
        State::new(Options::default(), "http://127.0.0.1:1".to_owned())
    }

    #[test]
    fn typed_text_arrives_escaped_with_known_names_as_entities() {
        let state = state();

        let sent =
            typed(&state, "deploy @ann #ops @nobody a<b & c https://x.example/?a=1&b=2 @安安");

        assert_eq!(
            sent,
            "deploy <@U0ANN|ann> <#C0OPS|ops> @nobody a&lt;b &amp; c \
             <https://x.example/?a=1&amp;b=2> <@U0ANN|ann>"
        );
        assert_eq!(typed(&state, "<!channel>"), "&lt;!channel&gt;");
        assert_eq!(typed(&state, "问@安安，mail@ann @ann2"), "问<@U0ANN|ann>，mail@ann @ann2");
    }

    #[test]
    fn entities_read_as_names_and_marks_disappear() {
        let state = state();

        assert_eq!(
            readable(&state, "*Asked by* <@U0ANN> in <#C0OPS|ops>, <!subteam^S0LEADS> &lt;3"),
            "Asked by @安安 in #ops, @leads <3"
        );
        assert_eq!(readable(&state, "<https://a.example|the run>"), "the run (https://a.example)");
        assert_eq!(
            readable(&state, "`a*b*` 2*3*4 snake_case_name"),
            "`a*b*` 2*3*4 snake_case_name"
        );
        assert_eq!(readable(&state, "_慢_ ~旧~ *新*"), "慢 旧 新");
    }

    proptest::proptest! {
        #[test]
        fn escaped_text_is_never_a_risk_and_reading_never_panics(text: String) {
            proptest::prop_assert_eq!(risks(&escape(&text), false), Vec::<String>::new());
            let _ = readable(&state(), &text);
            proptest::prop_assert_eq!(risks(&typed(&state(), &text), true), Vec::<String>::new());
        }
    }
}
