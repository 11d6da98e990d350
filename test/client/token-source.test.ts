// The source of tokens: one refusal costs one renewal.
import { describe, expect, it, vi } from 'vitest';
import { expiryOf, TokenSource } from '../../src/client/http/token-source.ts';

describe('the token source', () => {
  it('calls the callback once, however many requests need a token at once', async () => {
    const callback = vi.fn(() => Promise.resolve('t1'));
    const source = new TokenSource(callback);
    expect(await Promise.all([source.current(), source.current(), source.current()])).toEqual(['t1', 't1', 't1']);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it('renews once for all requests that were refused with the same token', async () => {
    let count = 0;
    const callback = vi.fn(() => Promise.resolve(`t${(count += 1)}`));
    const source = new TokenSource(callback);
    await source.current();
    expect(await Promise.all([source.renew('t1'), source.renew('t1')])).toEqual(['t2', 't2']);
    expect(await source.renew('t1')).toBe('t2');
    expect(callback).toHaveBeenCalledTimes(2);
  });

  it('has no other token when the token is fixed, or when the callback gives the refused one again', async () => {
    expect(await new TokenSource('t').renew('t')).toBeUndefined();
    const source = new TokenSource(() => Promise.resolve('same'));
    await source.current();
    expect(await source.renew('same')).toBeUndefined();
  });

  it('passes on the error of a failed callback, and calls it again the next time', async () => {
    const callback = vi.fn<() => Promise<string>>().mockRejectedValueOnce(new Error('offline')).mockResolvedValue('t1');
    const source = new TokenSource(callback);
    await expect(source.current()).rejects.toThrow('offline');
    expect(await source.current()).toBe('t1');
  });

  it('reads the expiry of a JWT, and none from other texts', () => {
    const claims = Buffer.from(JSON.stringify({ sub: 'ü?>', exp: 1_700_000_000 })).toString('base64url');
    expect(expiryOf(`h.${claims}.s`)).toBe(1_700_000_000_000);
    expect(expiryOf('opaque')).toBeUndefined();
    expect(expiryOf('a.!!!.c')).toBeUndefined();
    expect(expiryOf(`h.${Buffer.from('{}').toString('base64url')}.s`)).toBeUndefined();
  });
});
