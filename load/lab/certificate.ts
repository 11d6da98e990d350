// A certificate for 127.0.0.1 that the lab makes and signs itself, with openssl.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** Writes both into `folder`. @throws Error if there is no openssl */
export function makeCertificate(folder: string): Certificate {
  const made = { certificate: join(folder, 'model.crt'), key: join(folder, 'model.key') };
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const files = ['-keyout', made.key, '-out', made.certificate];
  execFileSync('openssl', ['req', '-x509', ...newKey, '-days', '2', ...subject, ...files], { stdio: 'pipe' });
  return made;
}
