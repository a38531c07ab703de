//! Who may ask: links with tokens, and requests that come from our own page.
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// What the page's own requests carry. Pages of other origins cannot send it without asking first, and are not answered then.
pub(crate) const PAGE_HEADER: &str = "x-difftumor-study";

/// SHA-256 of each link's token, in their order.
#[derive(Debug)]
pub(crate) struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// Of SHA-256 in hexadecimal.
    ///
    /// # Panics
    /// When one is not 64 hexadecimal digits.
    pub(crate) fn of<'a>(sha256: impl IntoIterator<Item = &'a str>) -> Self {
        let byte =
            |hex: &str, i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal digits");
        Self(sha256.into_iter().map(|hex| std::array::from_fn(|i| byte(hex, i))).collect())
    }

    /// Whose token this is: an index. Takes as long for a wrong token as for any of ours.
    pub(crate) fn index_of(&self, token: &str) -> Option<usize> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let (mut found, mut index) = (Choice::from(0), 0u32);
        for (i, expected) in self.0.iter().enumerate() {
            let equal = digest.ct_eq(expected);
            index.conditional_assign(&(i as u32), equal);
            found |= equal;
        }
        bool::from(found).then_some(index as usize)
    }
}

/// Whether the request names a host that a server at this address answers for. On loopback that is this machine alone: a page of another
/// site whose name was made to point here (DNS rebinding) names that site.
pub(crate) fn is_host_ours(headers: &HeaderMap, listen: IpAddr) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    if !listen.is_loopback() {
        return !host.is_empty();
    }
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a request that changes something comes from our page: it has the page's header, and an origin, where it names one, that is the
/// host it was sent to.
pub(crate) fn is_from_page(headers: &HeaderMap) -> bool {
    let same_origin = match (headers.get(header::ORIGIN), headers.get(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            let (origin, host) = (origin.as_bytes(), host.as_bytes());
            [&b"http://"[..], b"https://"].iter().any(|scheme| origin.strip_prefix(*scheme) == Some(host))
        }
        (Some(_), None) => false,
    };
    same_origin && headers.contains_key(PAGE_HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let named = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), value.parse().expect("a header"))
        };
        pairs.iter().map(named).collect()
    }

    #[test]
    fn tokens_find_their_owner_alone() {
        let known = ["one", "two", "three"].map(sha256);
        let tokens = Tokens::of(known.iter().map(String::as_str));
        let found = ["one", "two", "three", "", "tw", "twoo"].map(|token| tokens.index_of(token));
        assert_eq!(found, [Some(0), Some(1), Some(2), None, None, None]);
    }

    #[test]
    fn on_loopback_only_this_machine_is_our_host() {
        let loopback: IpAddr = [127, 0, 0, 1].into();
        for good in ["127.0.0.1:8080", "localhost:1", "LOCALHOST", "[::1]:80", "127.0.0.1"] {
            assert!(is_host_ours(&headers(&[("host", good)]), loopback), "{good}");
        }
        for bad in [
            "evil.example:8080",
            "10.0.0.1",
            "localhost.evil.example",
            "[::2]",
            "[",
            "",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_host_ours(&headers(&[("host", bad)]), loopback), "{bad}");
        }
        assert!(!is_host_ours(&headers(&[]), loopback));
        assert!(is_host_ours(&headers(&[("host", "ward-pc:8080")]), [0, 0, 0, 0].into()));
    }

    #[test]
    fn only_the_page_may_send() {
        let page = (PAGE_HEADER, "1");
        assert!(is_from_page(&headers(&[page, ("host", "a:1")])));
        assert!(is_from_page(&headers(&[page, ("host", "a:1"), ("origin", "http://a:1")])));
        assert!(!is_from_page(&headers(&[("host", "a:1"), ("origin", "http://a:1")])));
        for bad in ["http://b:1", "http://a:2", "null", "a:1", "http://a:1.b"] {
            assert!(!is_from_page(&headers(&[page, ("host", "a:1"), ("origin", bad)])), "{bad}");
        }
    }
}
