//! Paths as routes: what names one thing becomes `:id`, so that a thousand stocks are one line.

/// The longest route that is told apart from others.
const ROUTE_BYTES_MAX: usize = 80;
/// A part of a path with so many digits, and no fewer of them than other letters, names one thing.
const ID_DIGITS_MIN: usize = 4;
/// A shorter part of hexadecimal digits may be a word.
const HEX_BYTES_MIN: usize = 8;
/// A longer part with digits in it is a token.
const TOKEN_BYTES_MIN: usize = 20;

/// The path of a request's target: without a scheme and host before it, and without its query.
pub(super) fn path(target: &[u8]) -> &[u8] {
    let rest = target.strip_prefix(b"http://").or_else(|| target.strip_prefix(b"https://"));
    let path =
        rest.map_or(target, |rest| memchr::memchr(b'/', rest).map_or(&b"/"[..], |at| &rest[at..]));
    memchr::memchr2(b'?', b'#', path).map_or(path, |at| &path[..at])
}

/// Writes a method and a path as a route.
pub(super) fn write(method: &[u8], path: &[u8], route: &mut Vec<u8>) {
    route.clear();
    route.extend_from_slice(method);
    route.push(b' ');
    for (index, part) in path.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            route.push(b'/');
        }
        if route.len() + part.len() > ROUTE_BYTES_MAX {
            route.extend_from_slice("…".as_bytes());
            return;
        }
        if is_id(part) {
            route.extend_from_slice(b":id");
        } else {
            route.extend_from_slice(part);
        }
    }
}

fn is_id(part: &[u8]) -> bool {
    let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return false;
    }
    let is_hex = || part.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    digits == part.len()
        || digits >= ID_DIGITS_MIN && digits * 2 >= part.len()
        || part.len() >= TOKEN_BYTES_MIN
        || part.len() >= HEX_BYTES_MIN && is_hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(target: &str) -> String {
        let mut route = Vec::new();
        write(b"GET", path(target.as_bytes()), &mut route);
        String::from_utf8(route).unwrap()
    }

    #[test]
    fn what_names_one_thing_is_an_id_and_words_stay() {
        for (target, wanted) in [
            ("/", "GET /"),
            ("/api/v1/quotes?symbol=600519", "GET /api/v1/quotes"),
            ("/api/orders/12345/items/7", "GET /api/orders/:id/items/:id"),
            ("/q/600519.SH", "GET /q/:id"),
            ("/u/3f2a9c1e-8b4d-4c7a-9e21-0a1b2c3d4e5f", "GET /u/:id"),
            ("/c/deadbeef01", "GET /c/:id"),
            ("/s/eyJhbGciOiJIUzI1NiIsInR5cCI", "GET /s/:id"),
            ("/static/main.css#x", "GET /static/main.css"),
            ("/feedface/oauth2", "GET /feedface/oauth2"),
            ("http://shop.example/a?b", "GET /a"),
            ("https://shop.example", "GET /"),
            ("*", "GET *"),
        ] {
            assert_eq!(route(target), wanted, "{target}");
        }
        let long = format!("/a/{}/b", "x".repeat(500));
        assert_eq!(route(&long), "GET /a/…");
    }
}
