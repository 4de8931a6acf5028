//! Claims, certificates, people and the link of a gateway.

use crate::clock;
use crate::store::testing::{self, Fixture};
use crate::store::{Connected, LinkState, NewClaim, NewUser, Page, RedeemError, Role, StoreError};
use protocol::time::ClockState;

fn claim(token: u8, code: &str) -> NewClaim {
    NewClaim {
        token_sha256: [token; 32],
        site: "Plant".to_owned(),
        gateway_name: format!("Box {code}"),
        gateway_code: code.to_owned(),
        expires: clock::now().plus_micros(24 * 3_600 * 1_000_000),
    }
}

#[tokio::test]
async fn a_claim_is_honoured_once_and_says_why_not() {
    let fixture = Fixture::new().await;
    let (store, scope, now) = (&fixture.store, fixture.scope, clock::now());
    let (box_2, box_3, key) = (testing::gateway_id(2), testing::gateway_id(3), [1; 32]);
    let unknown = store.redeem([77; 32], box_2, key, now).await.unwrap_err();
    assert!(matches!(unknown, RedeemError::Unknown));

    store.add_claim(scope, claim(2, "B2")).await.unwrap();
    let info = store.redeem([2; 32], box_2, key, now).await.unwrap();
    assert_eq!(
        (info.gateway.id, info.code.as_str(), info.site.name.as_str()),
        (box_2, "B2", "Plant")
    );
    assert_eq!(
        store.redeem([2; 32], box_2, key, now).await.unwrap(),
        info,
        "the answer was lost"
    );
    for (gateway, key) in [(box_3, key), (box_2, [2; 32])] {
        let used = store.redeem([2; 32], gateway, key, now).await.unwrap_err();
        assert!(matches!(used, RedeemError::Used { .. }) && used.to_string().contains("claim new"));
    }

    store.add_claim(scope, claim(3, "B3")).await.unwrap();
    let late = now.plus_micros(25 * 3_600 * 1_000_000);
    let expired = store.redeem([3; 32], box_3, key, late).await.unwrap_err();
    assert!(matches!(expired, RedeemError::Expired { .. }));

    store.add_claim(scope, claim(4, "B2")).await.unwrap();
    let taken = store.redeem([4; 32], box_3, key, now).await.unwrap_err();
    assert!(
        taken
            .to_string()
            .contains("\"B2\" belongs to another gateway"),
        "{taken}"
    );
    let other = store.redeem([3; 32], box_2, key, now).await.unwrap_err();
    assert!(matches!(other, RedeemError::OtherGateway { .. }), "{other}");
    assert!(
        store.redeem([3; 32], box_3, key, now).await.is_ok(),
        "a failed try uses nothing up"
    );
}

#[tokio::test]
async fn enrolling_anew_revokes_the_older_certificate() {
    let fixture = Fixture::new().await;
    let (store, scope) = (&fixture.store, fixture.scope);
    let first = store.certificate([b'1'; 32]).await.unwrap().unwrap();
    assert_eq!((first.gateway, first.revoked), (fixture.gateway, None));
    assert_eq!(store.certificate([5; 32]).await.unwrap(), None);
    store.add_claim(scope, claim(9, "B1")).await.unwrap();
    store
        .redeem([9; 32], fixture.gateway, [8; 32], clock::now())
        .await
        .unwrap();
    assert!(
        store
            .certificate([b'1'; 32])
            .await
            .unwrap()
            .unwrap()
            .revoked
            .is_some()
    );
}

#[tokio::test]
async fn a_gateway_comes_and_goes_and_is_away_after_the_hub_was_killed() {
    let mut fixture = Fixture::new().await;
    let (scope, gateway) = (fixture.scope, fixture.gateway);
    let hello = || Connected {
        version: "1.2".to_owned(),
        clock: ClockState::Holdover,
    };
    fixture
        .store
        .connected(scope, gateway, hello())
        .await
        .unwrap();
    let online = fixture.store.gateway(scope, gateway).await.unwrap();
    assert_eq!(
        (online.link, online.clock),
        (LinkState::Online, Some(ClockState::Holdover))
    );
    fixture.reopen();
    let beside = fixture.store.gateway(scope, gateway).await.unwrap();
    assert_eq!(
        beside.link,
        LinkState::Online,
        "opening the store says nothing about links"
    );
    fixture.store.nobody_connected().await.unwrap();
    let away = fixture.store.gateway(scope, gateway).await.unwrap();
    assert_eq!((away.link, away.since), (LinkState::Away, away.last_seen));
    fixture
        .store
        .connected(scope, gateway, hello())
        .await
        .unwrap();
    fixture.store.disconnected(scope, gateway).await.unwrap();
    assert_eq!(
        fixture.store.gateway(scope, gateway).await.unwrap().link,
        LinkState::Away
    );
    fixture.store.revoke_gateway(scope, gateway).await.unwrap();
    let rows = fixture
        .store
        .gateways(scope, Page::default())
        .await
        .unwrap()
        .rows;
    assert_eq!(rows[0].link, LinkState::Revoked);
    let stranger = fixture
        .store
        .connected(scope, testing::gateway_id(8), hello())
        .await;
    assert!(matches!(
        stranger,
        Err(StoreError::NotFound { what: "gateway" })
    ));
}

#[tokio::test]
async fn names_of_people_differ_in_more_than_case() {
    let fixture = Fixture::new().await;
    let user = |name: &str| NewUser {
        name: name.to_owned(),
        role: Role::Planner,
        password_hash: "hash".to_owned(),
    };
    fixture
        .store
        .add_user(fixture.scope, user("Mia"))
        .await
        .unwrap();
    let taken = fixture.store.add_user(fixture.scope, user("mia")).await;
    assert!(matches!(taken, Err(StoreError::Taken { what: "name", .. })));
    fixture
        .store
        .add_user(fixture.scope, user("Ali"))
        .await
        .unwrap();
    let people = fixture
        .store
        .users(fixture.scope, Page::default())
        .await
        .unwrap()
        .rows;
    let names: Vec<_> = people.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["Ali", "Mia"]);
}
