import { gateway, gatewayAbsence } from '../../../ceph.ts';
import { describeBucketContract } from './contract.ts';

describeBucketContract({
  name: 'Ceph Object Gateway',
  start: async () => ({ ...gateway()!, close: () => Promise.resolve() }),
  skipped: gatewayAbsence(),
  excused: {
    'refuses a request that comes before the beginning of its life': 'RGW 16.2 compares with the end of the life only',
  },
});
