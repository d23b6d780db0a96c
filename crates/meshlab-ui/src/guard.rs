//! Who is let in: whoever knows the token, at this host's own name, from this page.

use std::{fs::File, io, io::Read, net::SocketAddr};

use http::{HeaderMap, StatusCode, header};

/// Bytes of a token.
const TOKEN_BYTES: usize = 16;

/// What every request is held against.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    token: String,
    hosts: Vec<String>,
}

impl Guard {
    /// For a server at that address, with a token of its own.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn at(address: SocketAddr) -> io::Result<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let token = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hosts = vec![address.to_string(), format!("localhost:{}", address.port())];
        Ok(Self { token, hosts })
    }

    /// What the link to the page begins with.
    pub(crate) fn link(&self) -> String {
        format!("http://{}/{}/", self.hosts.first().map_or("", String::as_str), self.token)
    }

    /// What is asked for: the path below the token. Else what to answer, and why.
    pub(crate) fn admit<'a>(
        &self,
        path: &'a str,
        headers: &HeaderMap,
        acts: bool,
    ) -> Result<&'a str, (StatusCode, &'static str)> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        // A name that somebody else made point here (DNS rebinding) is not one of ours.
        if !text(header::HOST).is_some_and(|host| self.hosts.iter().any(|ours| ours == host)) {
            let why = "this page is served under its own address only: open the link as printed";
            return Err((StatusCode::MISDIRECTED_REQUEST, why));
        }
        match text(header::ORIGIN) {
            Some(origin) if !self.is_ours(origin) => {
                return Err((StatusCode::FORBIDDEN, "another site's page asked for this"));
            }
            None if acts => {
                return Err((StatusCode::FORBIDDEN, "only the page itself may do this"));
            }
            _ => {}
        }
        let refused = Err((
            StatusCode::FORBIDDEN,
            "the token in the link is missing or wrong: open \
            the link as meshlab printed it",
        ));
        let Some(rest) = path.strip_prefix('/') else { return refused };
        let (token, below) = rest.split_once('/').unwrap_or((rest, ""));
        if same(token.as_bytes(), self.token.as_bytes()) { Ok(below) } else { refused }
    }

    fn is_ours(&self, origin: &str) -> bool {
        let host = origin.strip_prefix("http://");
        host.is_some_and(|host| self.hosts.iter().any(|ours| ours == host))
    }
}

/// Compares without telling by its time how much was right.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked(host: &str, origin: Option<&str>, path: &str, acts: bool) -> Result<String, u16> {
        let guard = Guard {
            token: "00ff".into(),
            hosts: vec!["127.0.0.1:4000".into(), "localhost:4000".into()],
        };
        let mut headers = HeaderMap::new();
        if !host.is_empty() {
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        let admitted = guard.admit(path, &headers, acts);
        admitted.map(str::to_owned).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn who_knows_the_token_is_let_in_and_nobody_else() {
        assert_eq!(asked("127.0.0.1:4000", None, "/00ff/", false), Ok(String::new()));
        assert_eq!(asked("localhost:4000", None, "/00ff/api/runs", false), Ok("api/runs".into()));
        for path in ["/", "/00fe/", "/00f/", "/00ff0/", "", "/api/runs", "//00ff/"] {
            assert_eq!(asked("127.0.0.1:4000", None, path, false), Err(403), "{path}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_point_here_and_other_sites_are_refused() {
        for host in ["evil.example", "evil.example:4000", "127.0.0.1", "127.0.0.1:4001", ""] {
            assert_eq!(asked(host, None, "/00ff/", false), Err(421), "{host}");
        }
        for origin in ["http://evil.example", "null", "https://127.0.0.1:4000", "http://localhost"]
        {
            assert_eq!(asked("127.0.0.1:4000", Some(origin), "/00ff/", false), Err(403));
        }
        let ours = Some("http://127.0.0.1:4000");
        assert!(asked("127.0.0.1:4000", ours, "/00ff/api/act", true).is_ok());
        assert_eq!(asked("127.0.0.1:4000", None, "/00ff/api/act", true), Err(403));
    }

    #[test]
    fn tokens_differ() {
        let address = "127.0.0.1:1".parse().unwrap();
        let (one, two) = (Guard::at(address).unwrap(), Guard::at(address).unwrap());
        assert!(one.token.len() == 2 * TOKEN_BYTES && one.token != two.token);
        assert!(one.link().starts_with("http://127.0.0.1:1/"));
    }
}
