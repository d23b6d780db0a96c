//! Starts that fail, and say why.

use std::os::unix::fs::PermissionsExt;

use crate::support::tool;

#[test]
fn a_bad_start_stops_with_the_reason() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    std::fs::write(data.path().join("identity.key"), "damaged").unwrap();
    let (code, _, why) = tool(&["--mesh", "m", "--role", "r", "--data", folder]);
    assert_eq!(code, Some(2));
    assert!(why.contains("identity.key is damaged"), "{why}");
    let (code, _, why) = tool(&["--role", "r", "--data", folder]);
    assert_eq!(code, Some(2));
    assert!(why.contains("--mesh"), "{why}");
    let (code, _, why) = tool(&["--mesh", "m", "--role", "r", "--data", "/proc/self/x"]);
    assert_eq!(code, Some(2));
    assert!(why.contains("/proc/self/x"), "{why}");
    let (code, _, why) = tool(&[]);
    assert_eq!(code, Some(2));
    assert!(why.contains("--mesh"), "{why}");
}

#[test]
fn the_operators_tools_keep_the_key_private_and_name_what_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("operator.key");
    let name = file.to_str().unwrap();
    let (code, minted, _) = tool(&["operator", name]);
    assert_eq!((code, minted.len()), (Some(0), 64));
    assert_eq!(tool(&["operator", name]).1, minted, "the key is on disk");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let grant = |may: &str| tool(&["grant", "--operator", name, "--to", &minted, "--may", may]);
    assert_eq!(grant("shutdown,set-state").0, Some(0));
    let (code, _, why) = grant("fly");
    assert_eq!(code, Some(2));
    assert!(why.contains("`fly` is none of shutdown, set-state"), "{why}");
    let (code, _, why) =
        tool(&["grant", "--operator", "/nowhere", "--to", &minted, "--may", "shutdown"]);
    assert_eq!(code, Some(2));
    assert!(why.contains("/nowhere"), "{why}");
}
