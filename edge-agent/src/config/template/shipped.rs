//! The templates in the program: the files of `configs/templates/`, in order. Never one that is not
//! there as a file too, for people start their own from these.

/// Name and text of each.
pub const SHIPPED: &[(&str, &str)] = &[
    (
        "abb-acs355",
        include_str!("../../../../configs/templates/abb-acs355.toml"),
    ),
    (
        "abb-b23",
        include_str!("../../../../configs/templates/abb-b23.toml"),
    ),
    (
        "banner-qm30vt2",
        include_str!("../../../../configs/templates/banner-qm30vt2.toml"),
    ),
    (
        "carlo-gavazzi-em24-e1",
        include_str!("../../../../configs/templates/carlo-gavazzi-em24-e1.toml"),
    ),
    (
        "carlo-gavazzi-em340",
        include_str!("../../../../configs/templates/carlo-gavazzi-em340.toml"),
    ),
    (
        "danfoss-vlt-fc",
        include_str!("../../../../configs/templates/danfoss-vlt-fc.toml"),
    ),
    (
        "eastron-sdm120",
        include_str!("../../../../configs/templates/eastron-sdm120.toml"),
    ),
    (
        "eastron-sdm630",
        include_str!("../../../../configs/templates/eastron-sdm630.toml"),
    ),
    (
        "janitza-umg604",
        include_str!("../../../../configs/templates/janitza-umg604.toml"),
    ),
    (
        "moxa-iologik-e1240",
        include_str!("../../../../configs/templates/moxa-iologik-e1240.toml"),
    ),
    (
        "schneider-atv320",
        include_str!("../../../../configs/templates/schneider-atv320.toml"),
    ),
    (
        "schneider-iem3155",
        include_str!("../../../../configs/templates/schneider-iem3155.toml"),
    ),
    (
        "xy-md02",
        include_str!("../../../../configs/templates/xy-md02.toml"),
    ),
];
