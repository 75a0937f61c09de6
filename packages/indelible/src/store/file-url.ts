/** `file:DIR` and `file:DIR?rotate=daily|none`. */
import { IndelibleError } from '../errors.ts'
import { type FileStore, type FileStoreOptions, isFileStore, openFileStore } from './file.ts'
import { inHome, type StoreUse } from './stores.ts'

/** @throws IndelibleError `ERR_CONFIG_INVALID`, and what {@link openFileStore} throws */
export async function createFileStore(location: string, use: StoreUse): Promise<FileStore> {
  const { folder, options } = parse(location, use)
  return openFileStore(folder, options)
}

/** @throws IndelibleError `ERR_CONFIG_INVALID`, `ERR_STORE_MISSING`, and what {@link openFileStore} throws */
export async function openExistingFileStore(location: string, use: StoreUse): Promise<FileStore> {
  const { folder, options } = parse(location, use)
  if (!isFileStore(folder)) {
    throw new IndelibleError('ERR_STORE_MISSING', `no log in ${folder}: it was deleted, moved or not restored`)
  }
  return openFileStore(folder, { ...options, readOnly: use.readOnly ?? false })
}

/** @throws IndelibleError `ERR_CONFIG_INVALID` */
export function fileStoreFolder(location: string, use: StoreUse): string {
  return parse(location, use).folder
}

function parse(location: string, use: StoreUse): { folder: string; options: FileStoreOptions } {
  const mark = location.indexOf('?')
  const path = (mark === -1 ? location : location.slice(0, mark)).replace(/^\/\/(?=\/)/, '')
  const query = new URLSearchParams(mark === -1 ? '' : location.slice(mark + 1))
  const rotation = query.get('rotate') ?? 'daily'
  const unknown = [...query.keys()].find((key) => key !== 'rotate')
  if (path === '' || unknown !== undefined || (rotation !== 'daily' && rotation !== 'none')) {
    const found = unknown ?? (path === '' ? 'no folder' : `rotate=${rotation}`)
    throw new IndelibleError('ERR_CONFIG_INVALID', `log.store: expected file:DIR?rotate=daily|none, found ${found}`)
  }
  return { folder: inHome(use, path), options: { rotation } }
}
