//! TCP keep-alive, towards clients and towards Bedrock. A thinking model can be silent for minutes, and NAT gateways, VPC endpoints and
//! load balancers forget a connection on which nothing moved for 350 seconds: what it says then, and Bedrock bills, would reach nobody.

use std::time::Duration;

use pingora_core::protocols::l4::ext::TcpKeepalive;

/// A probe each minute in which nothing moves. Where nobody answers it, the connection ends two minutes after its last byte.
pub const KEEPALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(15),
    count: 4,
    // The system's: how long a client may take nothing is bounded elsewhere.
    #[cfg(target_os = "linux")]
    user_timeout: Duration::ZERO,
};
