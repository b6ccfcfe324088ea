import { mount } from '../parts/mount.tsx';
import { RecordPage } from './page.tsx';

mount(RecordPage);
