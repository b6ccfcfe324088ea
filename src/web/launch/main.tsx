import { mount } from '../parts/mount.tsx';
import { LaunchPage } from './page.tsx';

mount(LaunchPage);
