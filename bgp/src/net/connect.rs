//! Dialling a neighbour.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use tokio::net::{TcpSocket, TcpStream};

use crate::session::{ConnectError, Disconnect};

use super::{sockopt::SocketOptionError, transport::Transport};

/// Connects, with every option of `transport` set before the first segment leaves.
pub(super) async fn dial(
    transport: Transport,
    user_timeout: Duration,
) -> Result<TcpStream, ConnectError> {
    let socket = match transport.remote {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(|e| connect_error(&e))?;
    let options = transport.apply(&socket, user_timeout);
    options.map_err(|e| option_error(&e))?;
    if let Some(local) = transport.local {
        socket
            .bind(SocketAddr::new(local, 0))
            .map_err(|e| connect_error(&e))?;
    }
    socket
        .connect(transport.remote)
        .await
        .map_err(|e| connect_error(&e))
}

fn option_error(error: &SocketOptionError) -> ConnectError {
    if error.is_unsupported() {
        ConnectError::Unsupported(error.option)
    } else {
        ConnectError::SocketOption(error.option)
    }
}

fn connect_error(error: &io::Error) -> ConnectError {
    match error.kind() {
        ErrorKind::ConnectionRefused => ConnectError::Refused,
        ErrorKind::TimedOut => ConnectError::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ConnectError::Unreachable,
        ErrorKind::AddrNotAvailable => ConnectError::LocalAddressNotAvailable,
        ErrorKind::PermissionDenied => ConnectError::PermissionDenied,
        _ => ConnectError::Os(error.raw_os_error().unwrap_or_default()),
    }
}

/// How a read or write says that the connection is over.
pub(super) fn disconnect(error: &io::Error) -> Disconnect {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            Disconnect::Reset
        }
        ErrorKind::TimedOut => Disconnect::TimedOut,
        _ => Disconnect::Os(error.raw_os_error().unwrap_or_default()),
    }
}
