//! Who holds certificates of which authority. Never changes one.

use super::error::{Doing as _, StoreError};
use super::{Store, sql};
use protocol::id::GatewayId;

/// A gateway that holds a certificate of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The gateway.
    pub gateway: GatewayId,
    /// Its name.
    pub name: String,
    /// Its code.
    pub code: String,
    /// SHA-256 of the authority; none for a certificate of before it was noted.
    pub authority: Option<[u8; 32]>,
}

impl Store {
    /// Who holds a certificate of which authority. One that was renewed and did not come with the
    /// new one yet holds both.
    pub async fn holders(&self) -> Result<Vec<Holder>, StoreError> {
        self.engine
            .read(|sql| {
                sql.prepare_cached(
                    "SELECT DISTINCT g.id, g.name, g.code, c.authority
                    FROM certificate AS c JOIN gateway AS g
                        ON g.tenant_id = c.tenant_id AND g.id = c.gateway_id
                    WHERE c.revoked_us IS NULL AND g.revoked_us IS NULL ORDER BY g.name, g.code",
                )
                .and_then(|mut query| {
                    let rows = query.query_map([], |row| {
                        Ok(Holder {
                            gateway: sql::id(row, 0)?,
                            name: row.get(1)?,
                            code: row.get(2)?,
                            authority: row.get(3)?,
                        })
                    })?;
                    rows.collect()
                })
                .doing("look who holds certificates")
            })
            .await
    }
}
