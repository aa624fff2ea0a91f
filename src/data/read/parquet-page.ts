/**
 * @file The pages of a Parquet column, checked before they are decoded: the decoder trusts their headers, and a damaged one could send it
 * round for ever.
 */
import type { AsyncBuffer, ColumnMetaData } from "hyparquet";
import { deserializeTCompactProtocol } from "hyparquet/src/thrift.js";

/** Bytes read for a header; statistics of long texts make one larger, and it is read again. */
const HEADER = 4096;
const LARGEST_HEADER = 1 << 22;
const DATA = 0;
const DICTIONARY = 2;
const DATA_V2 = 3;

/**
 * Walks the headers of a column's pages in one row group.
 *
 * @throws Error if a page does not lie within its column, or the pages hold another number of values than the column.
 */
export async function checkPages(file: AsyncBuffer, meta: ColumnMetaData, rows: number): Promise<void> {
  const dictionary = Number(meta.dictionary_page_offset ?? 0);
  const data = Number(meta.data_page_offset);
  let at = dictionary > 0 ? Math.min(dictionary, data) : data;
  const end = at + Number(meta.total_compressed_size);
  if (!(at >= 4) || !(end > at) || end > file.byteLength)
    throw new Error(`a column from byte ${at} to ${end} of ${file.byteLength}`);
  if (Number(meta.num_values) !== rows) throw new Error(`${meta.num_values} values in a group of ${rows} rows`);
  let values = 0;
  while (values < rows) {
    const { size, length, count } = await headerAt(file, at, end);
    at += length + size;
    values += count;
    if (at > end) throw new Error(`a page that reaches to byte ${at}, beyond its column's end at ${end}`);
  }
  if (values !== rows) throw new Error(`${values} values in the pages of ${rows} rows`);
}

async function headerAt(file: AsyncBuffer, at: number, end: number): Promise<{ size: number; length: number; count: number }> {
  for (let bytes = HEADER; ; bytes *= 16) {
    const limit = Math.min(end, at + bytes);
    if (limit <= at) throw new Error(`no page at byte ${at}`);
    const reader = { view: new DataView(await file.slice(at, limit)), offset: 0 };
    let header: Record<string, unknown>;
    try {
      header = deserializeTCompactProtocol(reader);
    } catch (error) {
      if (limit < end && bytes < LARGEST_HEADER) continue;
      throw error;
    }
    const { field_1: kind, field_2: uncompressed, field_3: size, field_5: first, field_7: dictionary, field_8: second } = header;
    const inner =
      kind === DATA
        ? fieldsOf(first, 4)
        : kind === DATA_V2
          ? fieldsOf(second, 6)
          : kind === DICTIONARY
            ? fieldsOf(dictionary, 2)
            : [];
    if (!inner || !isCount(size) || !isCount(uncompressed)) throw new Error(`a page header that lacks something at byte ${at}`);
    if (kind === DATA_V2 && (inner[2] !== inner[0] || inner[1] > inner[0] || inner[4] + inner[5] > size)) {
      throw new Error(`a page header that contradicts itself at byte ${at}`);
    }
    return { size, length: reader.offset, count: kind === DATA || kind === DATA_V2 ? inner[0] : 0 };
  }
}

/** The first fields of a structure, which must all be counts or codes. */
function fieldsOf(value: unknown, count: number): number[] | null {
  const fields = Array.from({ length: count }, (_, i) => (value as Record<string, unknown> | undefined)?.[`field_${i + 1}`]);
  return fields.every(isCount) ? fields : null;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}
