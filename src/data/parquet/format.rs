//! The numbers of the Parquet format: field numbers of its Thrift structs and values of its enums, under the names that
//! `parquet.thrift` of the specification gives them.

/// `FileMetaData`
pub(super) mod file_metadata {
    pub const SCHEMA: i16 = 2;
    pub const ROW_GROUPS: i16 = 4;
}

/// `SchemaElement`
pub(super) mod schema_element {
    pub const TYPE: i16 = 1;
    pub const REPETITION_TYPE: i16 = 3;
    pub const NAME: i16 = 4;
    pub const NUM_CHILDREN: i16 = 5;
    pub const CONVERTED_TYPE: i16 = 6;
    pub const LOGICAL_TYPE: i16 = 10;
}

/// `RowGroup`
pub(super) mod row_group {
    pub const COLUMNS: i16 = 1;
    pub const NUM_ROWS: i16 = 3;
}

/// `ColumnChunk`
pub(super) mod column_chunk {
    pub const META_DATA: i16 = 3;
}

/// `ColumnMetaData`
pub(super) mod column_metadata {
    pub const CODEC: i16 = 4;
    pub const NUM_VALUES: i16 = 5;
    pub const TOTAL_COMPRESSED_SIZE: i16 = 7;
    pub const DATA_PAGE_OFFSET: i16 = 9;
    pub const DICTIONARY_PAGE_OFFSET: i16 = 11;
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
}

/// `DataPageHeaderV2`
pub(super) mod data_page_header_v2 {
    pub const NUM_VALUES: i16 = 1;
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

/// `Type`: how values are stored.
pub(super) mod physical_type {
    pub const BOOLEAN: i64 = 0;
    pub const INT32: i64 = 1;
    pub const INT64: i64 = 2;
    pub const FLOAT: i64 = 4;
    pub const DOUBLE: i64 = 5;
    pub const BYTE_ARRAY: i64 = 6;
    /// The names of all physical types, by number.
    pub const NAMES: [&str; 8] = [
        "boolean",
        "int32",
        "int64",
        "int96",
        "float",
        "double",
        "byte array",
        "fixed-length byte array",
    ];
}

/// `FieldRepetitionType`
pub(super) mod repetition_type {
    pub const OPTIONAL: i64 = 1;
    pub const REPEATED: i64 = 2;
}

/// `ConvertedType`: what values mean, as older files say it.
pub(super) mod converted_type {
    pub const UTF8: i64 = 0;
    pub const ENUM: i64 = 4;
    pub const DECIMAL: i64 = 5;
    pub const DATE: i64 = 6;
    pub const TIME_MILLIS: i64 = 7;
    pub const TIMESTAMP_MICROS: i64 = 10;
    pub const UINT_8: i64 = 11;
    pub const UINT_64: i64 = 14;
    pub const INT_64: i64 = 18;
    pub const JSON: i64 = 19;
}

/// The fields of the union `LogicalType`: what values mean, as newer files say it.
pub(super) mod logical_type {
    pub const STRING: i16 = 1;
    pub const ENUM: i16 = 4;
    pub const DECIMAL: i16 = 5;
    pub const DATE: i16 = 6;
    pub const TIME: i16 = 7;
    pub const TIMESTAMP: i16 = 8;
    pub const INTEGER: i16 = 10;
    pub const JSON: i16 = 12;
}

/// `Encoding`
pub(super) mod encoding {
    pub const PLAIN: i64 = 0;
    pub const PLAIN_DICTIONARY: i64 = 2;
    pub const RLE: i64 = 3;
    pub const RLE_DICTIONARY: i64 = 8;
}

/// `CompressionCodec`
pub(super) mod codec {
    pub const UNCOMPRESSED: i64 = 0;
    pub const SNAPPY: i64 = 1;
    pub const GZIP: i64 = 2;
    /// The names of all codecs, by number.
    pub const NAMES: [&str; 8] =
        ["none", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4_raw"];
}
