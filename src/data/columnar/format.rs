//! The numbers of the Parquet format that the crate `parquet` keeps to itself: field numbers of its Thrift structs and values of its enums,
//! under the names that `parquet.thrift` of the specification gives them.

/// `FileMetaData`
pub(super) mod file_metadata {
    pub const SCHEMA: i16 = 2;
}

/// `SchemaElement`
pub(super) mod schema_element {
    pub const NUM_CHILDREN: i16 = 5;
}

/// `PageHeader`
pub(super) mod page_header {
    pub const TYPE: i16 = 1;
    pub const UNCOMPRESSED_PAGE_SIZE: i16 = 2;
    pub const COMPRESSED_PAGE_SIZE: i16 = 3;
    pub const DATA_PAGE_HEADER: i16 = 5;
    pub const DICTIONARY_PAGE_HEADER: i16 = 7;
    pub const DATA_PAGE_HEADER_V2: i16 = 8;
}

/// `DictionaryPageHeader`
pub(super) mod dictionary_page_header {
    pub const NUM_VALUES: i16 = 1;
}

/// `DataPageHeader`
pub(super) mod data_page_header {
    pub const NUM_VALUES: i16 = 1;
    pub const ENCODING: i16 = 2;
    pub const DEFINITION_LEVEL_ENCODING: i16 = 3;
}

/// `DataPageHeaderV2`
pub(super) mod data_page_header_v2 {
    pub const NUM_VALUES: i16 = 1;
    pub const NUM_NULLS: i16 = 2;
    pub const ENCODING: i16 = 4;
    pub const DEFINITION_LEVELS_BYTE_LENGTH: i16 = 5;
    pub const REPETITION_LEVELS_BYTE_LENGTH: i16 = 6;
    pub const IS_COMPRESSED: i16 = 7;
}

/// `PageType`
pub(super) mod page_type {
    pub const DATA_PAGE: i64 = 0;
    pub const DICTIONARY_PAGE: i64 = 2;
    pub const DATA_PAGE_V2: i64 = 3;
}
