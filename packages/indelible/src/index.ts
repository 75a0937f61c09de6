export { IndelibleError, type IndelibleErrorCode, isIndelibleError } from './errors.ts'
