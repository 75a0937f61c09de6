/** `indelible keys`: what may be known of the keys, and a new signing key. Never prints a secret. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { toBase64Url, toHex } from '../bytes.ts'
import type { Config } from '../config/config.ts'
import { type Context, examples } from './context.ts'
import { formatPairs } from './output.ts'

export function addKeys(program: Command, context: Context): void {
  const keys = program
    .command('keys')
    .description('show or rotate the keys of the log')
    .addHelpText('after', examples('indelible keys show', 'indelible keys rotate'))
  keys
    .command('show')
    .description('print the vkey, which keys are in use, and since when')
    .addHelpText('after', examples('indelible keys show', 'indelible keys show --json | jq -r .vkey > log.vkey'))
    .action(() => show(context))
  keys
    .command('rotate')
    .description('replace the signing key; the old and the new one sign the change, which is an entry')
    .option('--adopt', 'go on with a home that was copied, restored or moved to this host')
    .addHelpText('after', examples('indelible keys rotate'))
    .action((options: { adopt?: boolean }) => rotate(options, context))
}

async function openKeys(context: Context) {
  const { keysDirectory, resolveHome } = await import('../log/home-paths.ts')
  const { loadConfig } = await import('../config/config.ts')
  const { FileKeys } = await import('../keys/file-keys.ts')
  const home = resolveHome(context.home)
  const config: Config = loadConfig(home)
  const directory = keysDirectory(home, config)
  return { home, directory, keys: new FileKeys(directory, { host: config.keys.host }) }
}

async function show(context: Context): Promise<void> {
  const { formatVkey, SIGNATURE_ECDSA_P256 } = await import('../note/signed-note.ts')
  const { directory, keys } = await openKeys(context)
  const { key } = keys.signer
  const since = statSync(join(directory, 'log.skey')).mtime
  const shown = {
    origin: keys.origin,
    vkey: formatVkey(key),
    algorithm: key.type === SIGNATURE_ECDSA_P256 ? 'ecdsa-p256' : 'ed25519',
    signing_key_since: since.toISOString(),
    opened: new Date(keys.clock.startMs).toISOString(),
    epoch: keys.ratchet().epoch,
    epoch_seconds: keys.clock.seconds,
    mac_id: toBase64Url(keys.macId),
    keys_dir: directory,
  }
  await context.answer(shown, () =>
    formatPairs(
      [
        ['origin', shown.origin],
        ['vkey', shown.vkey],
        ['signing key', `${shown.algorithm}, in use since ${shown.signing_key_since} (${ageText(since)})`],
        ['mac key', `id ${toHex(keys.macId.subarray(0, 4))}, as in the verification key shown by init`],
        ['epoch', `${shown.epoch}, of ${shown.epoch_seconds} s each since ${shown.opened}`],
        ['keys folder', shown.keys_dir],
      ],
      '',
    ),
  )
}

async function rotate({ adopt = false }: { adopt?: boolean }, context: Context): Promise<void> {
  const { openLog, publishVkey } = await import('../log/home.ts')
  const log = await openLog({ adopt, ...context.homeOption })
  const vkey = await log.rotateKey().finally(() => log.close())
  const { home, keys } = await openKeys(context)
  publishVkey(home, keys)
  const vkeyFile = join(home, 'log.vkey')
  await context.answer({ origin: log.origin, vkey, vkey_file: vkeyFile }, () => {
    const pairs = formatPairs([
      ['vkey', vkey],
      ['', `to hand out anew; it is in ${vkeyFile}`],
    ])
    return `rotated the signing key of ${log.origin}\n${pairs}Keep the old vkey: proofs given out before are checked with it.\n`
  })
}

function ageText(since: Date): string {
  const days = Math.floor((Date.now() - since.getTime()) / 86_400_000)
  return days < 1 ? 'today' : days === 1 ? '1 day' : `${days} days`
}
