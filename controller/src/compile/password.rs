//! Passwords of sessions (TCP-MD5, RFC 2385), and keys of the TCP Authentication Option (RFC 5925).

use super::{AoAlgorithm, AoKey, Password};
use crate::{
    api::{NAMESPACE, SecretKeyRef, TcpAoAlgorithm, TcpAoKeySpec},
    diagnostic::{Diagnostic, Reason},
    index::Objects,
    object::ObjectRef,
};

/// Longest key that Linux takes (`TCP_MD5SIG_MAXKEYLEN`).
const MAX_LEN: usize = 80;

/// Some password was asked for and there is none: the session must not run without.
#[derive(Debug)]
pub(super) struct PasswordMissing;

/// The password that `wanted` names, or `None` where none is asked for.
pub(super) fn resolve(
    objects: &Objects,
    wanted: Option<&SecretKeyRef>,
    object: &ObjectRef,
    field: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Password>, PasswordMissing> {
    let Some(SecretKeyRef { name, key }) = wanted else {
        return Ok(None);
    };
    let found = match objects.secrets.get(name) {
        None => Err((
            Reason::SecretMissing,
            format!("there is no Secret {NAMESPACE}/{name}"),
        )),
        Some(secret) => match secret.data.get(key) {
            None => Err((
                Reason::SecretKeyMissing,
                format!("Secret {NAMESPACE}/{name} has no key {key:?}"),
            )),
            Some(value) => check(value).map_err(|why| {
                let message = format!("key {key:?} of Secret {NAMESPACE}/{name} {why}");
                (Reason::InvalidPassword, message)
            }),
        },
    };
    found.map(Some).map_err(|(reason, message)| {
        let message = format!("{message}; no session runs without its password");
        diagnostics.push(Diagnostic::error(object.clone(), field, reason, message));
        PasswordMissing
    })
}

/// The keys that `wanted` names: all of them, or there is no session.
pub(super) fn keys(
    objects: &Objects,
    wanted: &[TcpAoKeySpec],
    object: &ObjectRef,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<AoKey>, PasswordMissing> {
    let mut keys = Vec::new();
    for (i, key) in wanted.iter().enumerate() {
        let field = format!("spec.tcpAO[{i}].secretRef");
        let secret = resolve(objects, Some(&key.secret_ref), object, &field, diagnostics)?;
        keys.extend(secret.map(|secret| AoKey {
            send_id: key.send_id,
            receive_id: key.receive_id,
            algorithm: match key.algorithm {
                TcpAoAlgorithm::HmacSha1 => AoAlgorithm::HmacSha1,
                TcpAoAlgorithm::AesCmac => AoAlgorithm::AesCmac,
            },
            secret,
        }));
    }
    Ok(keys)
}

fn check(value: &[u8]) -> Result<Password, String> {
    let text = str::from_utf8(value).map_err(|_| "is not UTF-8 text".to_owned())?;
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > MAX_LEN {
        return Err(format!("is longer than {MAX_LEN} bytes"));
    }
    if text.chars().any(char::is_control) {
        // Nearly always the newline of `kubectl create secret --from-file`: the router's side has
        // none, and the session would hang in silence.
        return Err("has a line break or another control character".to_owned());
    }
    Ok(Password(text.to_owned()))
}
