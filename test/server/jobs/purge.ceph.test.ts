import { gateway, gatewayAbsence } from '../../ceph.ts';
import { describePurge } from './purge.contract.ts';

describePurge({
  name: 'Ceph Object Gateway',
  start: async () => ({ ...gateway()!, close: () => Promise.resolve() }),
  skipped: gatewayAbsence(),
});
