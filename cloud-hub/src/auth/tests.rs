//! Sign-in, sessions, passwords and claims, against a real store.

use super::*;
use crate::clock;
use crate::store::RedeemError;
use protocol::id::GatewayId;
use protocol::time::Timestamp;
use uuid::Uuid;

const PASSWORD: &str = "correct horse battery";
const MINUTE_US: i64 = 60 * 1_000_000;

struct Hub {
    store: Store,
    scope: TenantScope,
    now: Timestamp,
    _folder: tempfile::TempDir,
}

async fn hub() -> Hub {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let scope = store.default_tenant();
    add_user(&store, scope, "Mia", Role::Planner, PASSWORD)
        .await
        .unwrap();
    Hub {
        store,
        scope,
        now: clock::now(),
        _folder: folder,
    }
}

impl Hub {
    async fn try_at(
        &self,
        minutes: i64,
        name: &str,
        password: &str,
    ) -> Result<SignedIn, SignInError> {
        let now = self.at(minutes);
        sign_in(&self.store, self.scope, (name, password), "10.0.0.7", now).await
    }

    fn at(&self, minutes: i64) -> Timestamp {
        self.now.plus_micros(minutes * MINUTE_US)
    }

    async fn holds(&self, cookie: &str, minutes: i64) -> bool {
        session(&self.store, cookie, self.at(minutes))
            .await
            .unwrap()
            .is_some()
    }
}

#[tokio::test]
async fn the_right_password_signs_in_and_the_session_tells_who() {
    let hub = hub().await;
    let signed_in = hub.try_at(0, "mia", PASSWORD).await.unwrap();
    let found = session(&hub.store, &signed_in.cookie, hub.now)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.actor, signed_in.session.actor);
    assert_eq!(
        (found.actor.name.as_str(), found.actor.role),
        ("Mia", Role::Planner)
    );
    assert!(same(&found.csrf, &signed_in.session.csrf) && !same("", &found.csrf));
    let other = hub.try_at(0, "Mia", PASSWORD).await.unwrap();
    assert_ne!(other.cookie, signed_in.cookie);
    sign_out(&hub.store, &signed_in.cookie).await.unwrap();
    assert!(!hub.holds(&signed_in.cookie, 0).await);
    assert!(hub.holds(&other.cookie, 0).await);
    assert!(!hub.holds("guess", 0).await && !hub.holds(&"0".repeat(64), 0).await);
}

#[tokio::test]
async fn a_session_ends_after_30_minutes_of_rest_or_12_hours() {
    let hub = hub().await;
    let idle = hub.try_at(0, "Mia", PASSWORD).await.unwrap().cookie;
    assert!(hub.holds(&idle, 29).await);
    assert!(hub.holds(&idle, 58).await, "use prolongs it");
    assert!(!hub.holds(&idle, 88).await);
    assert!(!hub.holds(&idle, 60).await, "ended is ended");
    let busy = hub.try_at(0, "Mia", PASSWORD).await.unwrap().cookie;
    for minutes in (0..12 * 60).step_by(20) {
        assert!(hub.holds(&busy, minutes).await, "after {minutes} minutes");
    }
    assert!(!hub.holds(&busy, 12 * 60).await);
}

#[tokio::test]
async fn five_wrong_passwords_lock_the_name_at_that_address_for_a_while() {
    let hub = hub().await;
    for minute in 0..5 {
        let wrong = hub.try_at(minute, "Mia", "wrong password").await;
        assert!(matches!(wrong, Err(SignInError::BadCredentials)));
    }
    let locked = hub.try_at(5, "MIA", PASSWORD).await;
    let Err(SignInError::TooMany { retry_after_s }) = locked else {
        panic!("the right password must not count while locked: {locked:?}");
    };
    assert_eq!(
        retry_after_s,
        10 * 60 + 1,
        "until the first try is 15 minutes old"
    );
    let elsewhere = sign_in(
        &hub.store,
        hub.scope,
        ("Mia", PASSWORD),
        "10.0.0.8",
        hub.at(5),
    )
    .await;
    assert!(
        elsewhere.is_ok(),
        "the owner at another address is not locked out"
    );
    assert!(hub.try_at(16, "Mia", PASSWORD).await.is_ok());
    let nobody = hub.try_at(16, "Nobody", PASSWORD).await;
    assert!(matches!(nobody, Err(SignInError::BadCredentials)));
}

#[tokio::test]
async fn tries_at_the_same_time_are_all_counted() {
    let hub = hub().await;
    let tries = (0..12).map(|_| hub.try_at(0, "Mia", "wrong password"));
    let looked_at = futures_util::future::join_all(tries)
        .await
        .into_iter()
        .filter(|result| matches!(result, Err(SignInError::BadCredentials)))
        .count();
    assert_eq!(looked_at, 5);
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_and_short_ones_are_refused() {
    let hub = hub().await;
    let signed_in = hub.try_at(0, "Mia", PASSWORD).await.unwrap();
    let user = signed_in.session.actor.user;
    let short = set_password(&hub.store, hub.scope, user, "short")
        .await
        .unwrap_err();
    assert!(short.to_string().contains("10 to 256 bytes"), "{short}");
    let made = generate_password().unwrap();
    assert_ne!(made, generate_password().unwrap());
    assert_eq!(made.len(), 19);
    set_password(&hub.store, hub.scope, user, &made)
        .await
        .unwrap();
    assert!(!hub.holds(&signed_in.cookie, 0).await);
    assert!(hub.try_at(0, "Mia", &made).await.is_ok());
    let old = hub.try_at(0, "Mia", PASSWORD).await;
    assert!(matches!(old, Err(SignInError::BadCredentials)));
    for name in ["", " Mia", "a\nb"] {
        let refused = add_user(&hub.store, hub.scope, name, Role::Viewer, PASSWORD).await;
        assert!(matches!(refused, Err(UserError::Name)), "{name:?}");
    }
}

#[tokio::test]
async fn a_claim_lasts_24_hours_and_its_code_is_checked() {
    let hub = hub().await;
    let claim = |code: &str| NewClaim {
        site: "Plant".to_owned(),
        gateway: "Hall B".to_owned(),
        code: code.to_owned(),
    };
    for code in ["", "H", "b2", "B-2", "TOOLONGCODE"] {
        let refused = new_claim(&hub.store, hub.scope, claim(code), hub.now).await;
        assert!(matches!(refused, Err(ClaimError::Code { .. })), "{code:?}");
    }
    let gateway = GatewayId(Uuid::from_u128(2));
    let token = new_claim(&hub.store, hub.scope, claim("B2"), hub.now)
        .await
        .unwrap();
    let late = redeem(&hub.store, &token, gateway, b"key", hub.at(24 * 60)).await;
    assert!(matches!(late, Err(RedeemError::Expired { .. })));
    let info = redeem(&hub.store, &token, gateway, b"key", hub.at(23 * 60))
        .await
        .unwrap();
    assert_eq!(
        (info.code.as_str(), info.gateway.name.as_str()),
        ("B2", "Hall B")
    );
    let wrong = redeem(&hub.store, &[0; 16], gateway, b"key", hub.now).await;
    assert!(matches!(wrong, Err(RedeemError::Unknown)));
}
